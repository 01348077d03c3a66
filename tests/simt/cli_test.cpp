// The command line on the CUDA kernels, in the SIMT layer: what it writes is what the CPU writes.
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/images/read_image.h"
#include "tests/cli/cli_fixture.h"
#include "tests/support/relative_error.h"

namespace vitsnna::test {
namespace {

using nlohmann::json;

/// Relative errors of whole arrays. fp32: four blocks of sums whose order differs, some thousand
/// roundings of 2^-24 at random signs in each, and the relevance chain once more over them. bf16:
/// operands of 8 bits, against fp32: a few times 2^-8 of the logits, twice that of maps.
struct Tolerance {
  double logits, maps;
};
constexpr Tolerance kSingle = {1e-5, 1e-4}, kBrain = {8. / 256., 16. / 256.};

class CliSimt : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    // A small picture of few patches: the layer is some thousand times slower than a GPU.
    write_bytes(file("street.png"), encode(".png", gradient_image(24, 40)));
  }
  Outcome run(const std::string& command, const std::string& device, const std::string& precision,
              const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {
        command,       "--model", file("model.safetensors"), "--device", device,
        "--precision", precision, file("street.png"),        "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_binary(arguments);
  }
  json json_of(const std::string& command, const std::string& device, const std::string& precision,
               const std::vector<std::string>& more) const {
    const Outcome outcome = run(command, device, precision, more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_EQ(outcome.err, "");
    return json::parse(outcome.out);
  }
  std::vector<float> array(const std::string& folder, const std::string& name) const {
    return engine::read_npy((directory_ / folder / name).string()).to_floats();
  }
  /// Arrays within `tolerance`; pictures as far apart as one step of a colour map takes them: 4 of
  /// 255 at the full share of heat, half of that at the default, and a rounding.
  void expect_same_files(const std::string& found, const std::string& wanted,
                         double tolerance) const {
    const std::vector<std::string> names = names_in(directory_ / wanted);
    ASSERT_EQ(names_in(directory_ / found), names);
    for (const std::string& name : names) {
      SCOPED_TRACE(name);
      if (name.ends_with(".npy")) {
        EXPECT_LT(relative_error(array(found, name), array(wanted, name)), tolerance);
      } else if (name.ends_with(".png") && tolerance < 1e-3) {
        const auto pixels = engine::read_image((directory_ / found / name).string()).rgb;
        const auto others = engine::read_image((directory_ / wanted / name).string()).rgb;
        ASSERT_EQ(pixels.size(), others.size());
        for (std::size_t i = 0; i < pixels.size(); ++i) {
          ASSERT_LE(std::abs(pixels[i] - others[i]), 3) << i;
        }
      }
    }
  }
};

TEST_F(CliSimt, PredictGivesTheLogitsOfTheCpu) {
  const auto wanted =
      json_of("predict", "cpu", "fp32", {})["inputs"][0]["logits"].get<std::vector<float>>();
  for (const auto& [precision, tolerance] :
       {std::pair("fp32", kSingle), std::pair("bf16", kBrain)}) {
    const json found = json_of("predict", "simt", precision, {});
    EXPECT_LT(relative_error(found["inputs"][0]["logits"].get<std::vector<float>>(), wanted),
              tolerance.logits)
        << precision;
  }
}

TEST_F(CliSimt, ExplainWritesTheMapsOfTheCpuAndSaysSoInTheManifest) {
  const std::vector<std::string> request = {
      "--method", "rawatt,snna,inputgrad", "--label", "left,right", "--samples", "2"};
  const auto into = [&](const std::string& folder) {
    std::vector<std::string> all = request;
    all.insert(all.end(), {"--output", file(folder)});
    return all;
  };
  const json wanted = json_of("explain", "cpu", "fp32", into("cpu"));
  for (const auto& [precision, tolerance] :
       {std::pair("fp32", kSingle), std::pair("bf16", kBrain)}) {
    SCOPED_TRACE(precision);
    const json found = json_of("explain", "simt", precision, into(precision));
    expect_same_files(precision, "cpu", tolerance.maps);
    EXPECT_EQ(found["device"]["name"], "simt");
    EXPECT_EQ(found["options"]["precision"], precision);
    EXPECT_EQ(found["model"], wanted["model"]);
    const json &input = found["inputs"][0], &other = wanted["inputs"][0];
    EXPECT_LT(relative_error(input["logits"].get<std::vector<float>>(),
                             other["logits"].get<std::vector<float>>()),
              tolerance.logits);
    EXPECT_EQ(input["sha256"], other["sha256"]);
    EXPECT_EQ(input["grid"], other["grid"]);
    EXPECT_EQ(input["explained"].size(), 2u);
    EXPECT_GT(input["device_bytes"].get<std::int64_t>(), 0);
    for (const char* stage : {"forward", "backward", "relevance", "noise"}) {
      EXPECT_GT(input["stages"][stage]["flops"].get<double>(), 0) << stage;
    }
  }
}

TEST_F(CliSimt, AttentionDrawsTheHeadsOfTheCpu) {
  json_of("attention", "cpu", "fp32", {"--output", file("cpu")});
  for (const auto& [precision, tolerance] :
       {std::pair("fp32", kSingle), std::pair("bf16", kBrain)}) {
    json_of("attention", "simt", precision, {"--output", file(precision)});
    expect_same_files(precision, "cpu", tolerance.maps);
  }
}

/// The second input of a size is captured and the third replayed: labels that depend on the logits
/// are read in between.
TEST_F(CliSimt, AFolderIsExplainedByReplayedGraphsWithTheMapsOfTheCpu) {
  std::filesystem::create_directory(file("pictures"));
  for (const std::string name : {"a", "b", "c"}) {
    write_bytes(file("pictures/" + name + ".png"),
                encode(".png", gradient_image(16 + 8 * (name[0] - 'a'), 24)));
  }
  const auto request = [&](const std::string& device) {
    return run_binary({"explain", "--model", file("model.safetensors"), "--device", device,
                       "--output", file(device), "--size", "16x24", "--samples", "1", "--json",
                       file("pictures")});
  };
  const Outcome cpu = request("cpu"), simt = request("simt");
  ASSERT_EQ(cpu.exit_code, 0) << cpu;
  ASSERT_EQ(simt.exit_code, 0) << simt;
  expect_same_files("simt", "cpu", kSingle.maps);
  const json inputs = json::parse(simt.out)["inputs"];
  ASSERT_EQ(inputs.size(), 3u);
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(inputs[k]["stem"], std::string(1, static_cast<char>('a' + k)));
  }
  EXPECT_TRUE(inputs[2]["stages"].contains("graph"));
}

}  // namespace
}  // namespace vitsnna::test
