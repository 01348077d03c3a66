// Wrong usage ends with exit code 2 and one line; help and version end with 0.
#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

TEST(CliUsage, VersionSaysWhatItIsBuiltWithAndWhichDevicesItSees) {
  const Outcome outcome = run_binary({"--version"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outcome.err, "");
  for (const char* text :
       {"vitsnna 0.", "commit", "compiler", "oneDNN", "OpenMP", "OpenCV", "CUDA", "MPI", "CPU"}) {
    EXPECT_NE(outcome.out.find(text), std::string::npos) << text << "\n" << outcome;
  }
}

TEST(CliUsage, HelpListsEverySubcommandAndEachHasItsOwn) {
  const Outcome outcome = run_binary({"--help"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  for (const std::string command : {"info", "convert", "predict", "explain", "attention"}) {
    EXPECT_NE(outcome.out.find(command), std::string::npos) << outcome;
    const Outcome own = run_binary({command, "--help"});
    EXPECT_EQ(own.exit_code, 0) << own;
    EXPECT_NE(own.out.find("vitsnna " + command), std::string::npos) << own;
  }
}

class CliWrongUsage : public CliTest {};

TEST_F(CliWrongUsage, OptionsAreCheckedBeforeAnythingIsRead) {
  struct Case {
    std::vector<std::string> arguments;
    std::string named;
  };
  const std::vector<Case> cases = {
      {{"--samples", "0"}, "--samples"},
      {{"--samples", "2.5"}, "--samples"},
      {{"--samples", "many"}, "--samples"},
      {{"--noise-level", "-0.1"}, "--noise-level"},
      {{"--noise-level", "nan"}, "--noise-level"},
      {{"--ig-steps", "0"}, "--ig-steps"},
      {{"--seed", "-1"}, "--seed"},
      {{"--method", "snna,grandcam"}, "grandcam"},
      {{"--formulation", "mine"}, "--formulation"},
      {{"--precision", "fp64"}, "--precision"},
      {{"--device", "tpu"}, "--device"},
      {{"--device", "simt"}, "--device"},
      {{"--threads", "0"}, "--threads"},
      {{"--memory-limit", "lots"}, "--memory-limit"},
      {{"--memory-limit", "99999999999G"}, "--memory-limit"},
      {{"--size", "48"}, "--size"},
      {{"--crop", "0"}, "--crop"},
      {{"--colormap", "rainbow"}, "--colormap"},
      {{"--alpha", "1.5"}, "--alpha"},
      {{"--part", "both"}, "--part"},
      {{"--heads", "0"}, "--heads"},
      {{"--mean", "a,b,c"}, "--mean"},
      {{"--std", "0"}, "--std"},
      {{"--threshold", "2"}, "--threshold"},
      {{"--threshold", "0.1,0.2"}, "--threshold"},
      {{"--label", "all,left"}, "--label"},
      {{"--nonsense"}, "--nonsense"},
      {{"--config", file("absent.toml")}, "absent.toml"},
  };
  for (const Case& one : cases) {
    std::vector<std::string> arguments = {file("street.png")};
    arguments.insert(arguments.end(), one.arguments.begin(), one.arguments.end());
    SCOPED_TRACE(one.named + " " + one.arguments.back());
    expect_nothing_written(explain(arguments), 2, {one.named});
  }
}

TEST_F(CliWrongUsage, WhatIsRequiredIsAskedFor) {
  expect_failure(run_binary({}), 2, {"subcommand"});
  expect_failure(run_binary({"explode"}), 2, {});
  expect_failure(run_binary({"info"}), 2, {"MODEL"});
  expect_failure(run_binary({"predict", file("street.png")}), 2, {"--model"});
  expect_failure(run_binary({"predict", "--model", file("model.safetensors")}), 2, {"INPUT"});
  expect_failure(run_binary({"explain", "--model", file("model.safetensors"), file("street.png")}),
                 2, {"--output"});
  expect_failure(run_binary({"predict", "--model", "random:x", file("street.png")}), 2,
                 {"random:x"});
}

TEST_F(CliWrongUsage, ATensorIsTakenAsItIsSoSizeAndCropDoNotApply) {
  save_tensor("x.npy");
  expect_nothing_written(explain({file("x.npy"), "--size", "48x48"}), 2, {"x.npy", "--size"});
  expect_nothing_written(explain({file("x.npy"), "--crop", "48"}), 2, {"x.npy", "--crop"});
}

TEST_F(CliWrongUsage, SamplesThatContradictTheNoiseFile) {
  engine::write_npy(file("noise.npy"), {2, 3, 48, 48}, random_image(48, 96, 3));
  save_tensor("x.npy");
  expect_nothing_written(explain({file("x.npy"), "--noise", file("noise.npy"), "--samples", "3"}),
                         2, {"--samples", "3", "noise.npy", "2"});
}

TEST_F(CliWrongUsage, AConfigFileGivesOptionsAndTheCommandLineWins) {
  write_bytes(file("run.toml"), "[explain]\nsamples = 2\nseed = 7\nmethod = \"attgrad\"\n");
  const auto options =
      manifest_of({file("street.png"), "--config", file("run.toml"), "--seed", "9"})["options"];
  EXPECT_EQ(options["samples"], 2);
  EXPECT_EQ(options["seed"], 9);
  EXPECT_EQ(options["methods"], nlohmann::json({"attgrad"}));
  write_bytes(file("wrong.toml"), "[explain]\nsample = 2\n");
  expect_failure(run_binary({"explain", "--config", file("wrong.toml"), "--model", "random",
                             "--output", file("o"), file("street.png")}),
                 2, {"sample"});
}

}  // namespace
}  // namespace vitsnna::test
