// `explain`: names, shapes and contents of its files, its manifest, its defaults and its promises.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/io/sha256.h"
#include "engine/images/read_image.h"
#include "tests/cli/cli_fixture.h"
#include "tests/support/relative_error.h"

namespace vitsnna::test {
namespace {

using nlohmann::json;
using Names = std::vector<std::string>;

class CliExplain : public CliTest {
 protected:
  /// Runs into a fresh output folder.
  json fresh(const std::vector<std::string>& arguments) const {
    std::filesystem::remove_all(directory_ / "out");
    return manifest_of(arguments);
  }
};

TEST_F(CliExplain, OneMapIsAnArrayAnOverlayAndAManifest) {
  manifest_of({file("street.png"), "--label", "left"});
  EXPECT_EQ(outputs(), (Names{"manifest.json", "street.left.snna.npy", "street.left.snna.png"}));
  const engine::HostTensor map = engine::read_npy(output("street.left.snna.npy"));
  EXPECT_EQ(map.type, engine::ElementType::f32);
  EXPECT_EQ(map.shape, (std::vector<std::int64_t>{6, 6}));
  const explain::Image overlay = engine::read_image(output("street.left.snna.png"));
  EXPECT_EQ(overlay.extent(), (explain::Extent{48, 48}));
}

TEST_F(CliExplain, SeveralMethodsGetAContactSheet) {
  manifest_of({file("street.png"), "--label", "forward,right", "--method", "rawatt,attgrad"});
  Names expected = {"manifest.json", "street.contact_sheet.png"};
  for (const std::string label : {"forward", "right"}) {
    for (const std::string method : {"attgrad", "rawatt"}) {
      expected.push_back("street." + label + "." + method + ".npy");
      expected.push_back("street." + label + "." + method + ".png");
    }
  }
  EXPECT_EQ(outputs(), expected);
}

TEST_F(CliExplain, TheManifestSaysWhatWasDoneWithWhat) {
  const json manifest = manifest_of({file("street.png"), "--label", "2", "--method", "snna,ig"});
  EXPECT_EQ(manifest["model"]["sha256"], engine::sha256_of_file(file("model.safetensors")));
  EXPECT_EQ(manifest["command"], "explain");
  EXPECT_FALSE(manifest["vitsnna"]["version"].get<std::string>().empty());
  EXPECT_EQ(manifest["device"]["name"], "cpu");
  const json defaults = {{"formulation", "paper"}, {"samples", 5},    {"noise_level", .15},
                         {"ig_steps", 20},         {"seed", 0},       {"precision", "fp32"},
                         {"baseline", "zero"},     {"alpha", .5},     {"colormap", "jet"},
                         {"blend", "blend"},       {"noise", nullptr}};
  for (const auto& [key, value] : defaults.items()) {
    EXPECT_EQ(manifest["options"][key], value) << key;
  }
  ASSERT_EQ(manifest["inputs"].size(), 1u);
  const json& input = manifest["inputs"][0];
  EXPECT_EQ(input["sha256"], engine::sha256_of_file(file("street.png")));
  EXPECT_EQ(input["grid"], json({6, 6}));
  EXPECT_EQ(input["original_size"], json({60, 70}));
  EXPECT_EQ(input["logits"].size(), 4u);
  EXPECT_EQ(input["probabilities"].size(), 4u);
  ASSERT_EQ(input["explained"].size(), 1u);
  const json& label = input["explained"][0];
  EXPECT_EQ(label["label"], "left");
  EXPECT_EQ(label["logit"], input["logits"][2]);
  EXPECT_EQ(label["ig_completeness"]["difference"].type(), json::value_t::number_float);
  ASSERT_EQ(label["maps"].size(), 2u);
  const std::vector<float> map = this->map(label["maps"][0]["npy"]);
  EXPECT_FLOAT_EQ(label["maps"][0]["max"].get<float>(), *std::max_element(map.begin(), map.end()));
  for (const char* stage : {"decode", "forward", "backward", "noise", "render", "write"}) {
    EXPECT_GE(input["stages"][stage]["seconds"].get<double>(), 0) << stage;
  }
  EXPECT_GT(input["stages"]["forward"]["flops"].get<double>(), 0);
  EXPECT_GT(manifest["peak_memory_bytes"].get<double>(), 1e6);
}

TEST_F(CliExplain, JsonPutsTheManifestOnStandardOutputAndNothingElse) {
  const Outcome outcome = explain({file("street.png"), "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(json::parse(outcome.out), json::parse(read_bytes(output("manifest.json"))));
}

TEST_F(CliExplain, QuietSaysNothing) {
  const Outcome outcome = explain({file("street.png"), "--quiet"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(CliExplain, HowCompleteIntegratedGradientsAreIsPrinted) {
  const Outcome outcome = explain({file("street.png"), "--method", "ig", "--label", "left"});
  EXPECT_NE(outcome.out.find("ig accounts for "), std::string::npos) << outcome;
}

TEST_F(CliExplain, LabelsGoByNameIndexAllAndPredicted) {
  const auto explained = [&](const std::vector<std::string>& arguments) {
    Names labels;
    std::vector<std::string> all = {file("street.png"), "--method", "rawatt"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const json manifest = fresh(all);
    for (const json& one : manifest["inputs"][0]["explained"]) labels.push_back(one["label"]);
    return labels;
  };
  EXPECT_EQ(explained({"--label", "right,0"}), (Names{"right", "forward"}));
  EXPECT_EQ(explained({"--label", "Stop-Slow", "--label", "left"}), (Names{"stop_slow", "left"}));
  EXPECT_EQ(explained({"--label", "all"}), (Names{"forward", "stop_slow", "left", "right"}));
  EXPECT_EQ(explained({"--threshold", "0"}), (Names{"forward", "stop_slow", "left", "right"}));
  EXPECT_EQ(explained({"--threshold", "1"}).size(), 1u);
  EXPECT_EQ(explained({"--activation", "softmax", "--label", "predicted"}).size(), 1u);
}

TEST_F(CliExplain, LabelsInFileNamesKeepOnlyPlainCharacters) {
  write_bytes(file("names.txt"), "go ahead!\ncrane\ncrane\nÄ/b\n");
  manifest_of(
      {file("street.png"), "--labels", file("names.txt"), "--label", "all", "--method", "rawatt"});
  const Names names = outputs();
  for (const char* name : {"street.go_ahead_.rawatt.npy", "street.crane_1.rawatt.npy",
                           "street.crane_2.rawatt.npy", "street.___b.rawatt.npy"}) {
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
}

TEST_F(CliExplain, ItemsOfABatchHaveNumberedStemsAndEqualStemsAreRefused) {
  save_tensor("batch.npy", 2);
  manifest_of({file("batch.npy"), "--label", "left", "--method", "rawatt"});
  EXPECT_EQ(outputs(),
            (Names{"batch_0.left.rawatt.npy", "batch_0.left.rawatt.png", "batch_1.left.rawatt.npy",
                   "batch_1.left.rawatt.png", "manifest.json"}));
  std::filesystem::remove_all(directory_ / "out");
  save_tensor("batch_1.npy");
  expect_nothing_written(explain({file("batch.npy"), file("batch_1.npy")}), 1,
                         {"batch_1", "batch.npy"});
  expect_nothing_written(explain({file("street.png"), file("street.png")}), 1, {"street"});
}

TEST_F(CliExplain, ExistingFilesAreRefusedUnlessForcedAndAnExistingFolderIsFine) {
  std::filesystem::create_directory(file("out"));
  write_bytes(output("notes.txt"), "mine");
  write_bytes(output("street.left.snna.png"), "mine too");
  expect_failure(explain({file("street.png"), "--label", "left"}), 1,
                 {"street.left.snna.png", "--force"});
  expect_failure(explain({file("street.png"), "--threshold", "0"}), 1,
                 {"street.left.snna.png", "--force"});
  EXPECT_EQ(read_bytes(output("street.left.snna.png")), "mine too");
  EXPECT_EQ(outputs(), (Names{"notes.txt", "street.left.snna.png"}));
  manifest_of({file("street.png"), "--label", "right"});  // another name: not in the way
  expect_failure(explain({file("street.png"), "--label", "forward"}), 1, {"manifest.json"});
  manifest_of({file("street.png"), "--label", "left", "--force"});
  EXPECT_NE(read_bytes(output("street.left.snna.png")), "mine too");
  EXPECT_EQ(read_bytes(output("notes.txt")), "mine");
}

TEST_F(CliExplain, GreyTransparentDeepAndRotatedPicturesAreHandled) {
  cv::Mat grey(40, 64, CV_8UC1, cv::Scalar(90)), alpha(40, 64, CV_8UC4, cv::Scalar(9, 80, 200, 70)),
      deep(40, 64, CV_16UC3, cv::Scalar(9000, 30000, 60000));
  write_bytes(file("grey.png"), encode(".png", grey));
  write_bytes(file("alpha.png"), encode(".png", alpha));
  write_bytes(file("deep.png"), encode(".png", deep));
  write_bytes(file("turned.jpg"), with_exif(encode(".jpg", gradient_image(40, 64)), exif_block(6)));
  const json inputs =
      manifest_of({file("grey.png"), file("alpha.png"), file("deep.png"), file("turned.jpg"),
                   "--label", "left", "--method", "rawatt"})["inputs"];
  EXPECT_EQ(inputs[0]["original_size"], json({40, 64}));
  EXPECT_EQ(inputs[3]["original_size"], json({64, 40}));
}

TEST_F(CliExplain, SizesAndCropsAreThoseAskedFor) {
  const auto grid = [&](const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {file("street.png"), "--method", "rawatt", "--label", "left"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return fresh(all)["inputs"][0]["grid"];
  };
  EXPECT_EQ(grid({"--size", "32x64"}), json({4, 8}));
  EXPECT_EQ(grid({"--size", "short:32"}), json({4, 4}));  // 60x70 -> 32x37, cut to 32x32
  EXPECT_EQ(grid({"--size", "64x64", "--crop", "40x24"}), json({5, 3}));
}

TEST_F(CliExplain, ATensorAndThePictureItWasMadeFromGiveTheSameBits) {
  // mean 0 and std 1 make the normalised tensor value / 255, which .npy can hold exactly.
  const explain::Image picture = gradient_image(48, 48);
  write_bytes(file("picture.png"), encode(".png", picture));
  std::vector<float> tensor;
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (std::size_t pixel = 0; pixel < 48 * 48; ++pixel) {
      tensor.push_back(static_cast<float>(picture.rgb[3 * pixel + channel]) / 255.f);
    }
  }
  engine::write_npy(file("tensor.npy"), {3, 48, 48}, tensor);
  manifest_of(
      {file("picture.png"), file("tensor.npy"), "--mean", "0", "--std", "1", "--label", "left"});
  EXPECT_LT(relative_error(map("tensor.left.snna.npy"), map("picture.left.snna.npy")), 1e-5);
}

TEST_F(CliExplain, NoiseFromAFileIsReplayedForEveryInput) {
  std::vector<float> noise = random_image(48, 2 * 48, 3);
  for (float& value : noise) value *= .3f;
  engine::write_npy(file("noise.npy"), {2, 3, 48, 48}, noise);
  save_tensor("a.npy");
  save_tensor("b.npy");
  const json manifest =
      manifest_of({file("a.npy"), file("b.npy"), "--noise", file("noise.npy"), "--label", "left"});
  EXPECT_EQ(manifest["options"]["samples"], 2);
  EXPECT_EQ(manifest["options"]["noise"]["sha256"], engine::sha256_of_file(file("noise.npy")));
  EXPECT_EQ(map("a.left.snna.npy"), map("b.left.snna.npy"));
  const std::vector<float> replayed = map("a.left.snna.npy");
  fresh({file("a.npy"), "--label", "left"});
  EXPECT_NE(map("a.left.snna.npy"), replayed);
}

TEST_F(CliExplain, NoNoiseEqualsASampleOfSilence) {
  save_tensor("x.npy");
  engine::write_npy(file("silence.npy"), {1, 3, 48, 48}, std::vector<float>(3 * 48 * 48, 0.f));
  manifest_of({file("x.npy"), "--noise", file("silence.npy"), "--label", "left"});
  const std::vector<float> silent = map("x.left.snna.npy");
  fresh({file("x.npy"), "--noise-level", "0", "--label", "left"});
  EXPECT_LT(relative_error(map("x.left.snna.npy"), silent), 5e-6);
}

TEST_F(CliExplain, BaselinesOfIntegratedGradientsDiffer) {
  save_tensor("x.npy");
  engine::write_npy(file("own.npy"), {3, 48, 48}, random_image(48, 48, 21));
  engine::write_npy(file("nought.npy"), {3, 48, 48}, std::vector<float>(3 * 48 * 48, 0.f));
  std::vector<std::vector<float>> maps;
  const Names baselines = {"zero", "mean", "black", file("own.npy")};
  for (const std::string& baseline : baselines) {
    fresh({file("x.npy"), "--method", "ig", "--label", "left", "--baseline", baseline});
    maps.push_back(map("x.left.ig.npy"));
    for (std::size_t i = 0; i + 1 < maps.size(); ++i) EXPECT_NE(maps[i], maps.back()) << baseline;
  }
  fresh({file("x.npy"), "--method", "ig", "--label", "left", "--baseline", file("nought.npy")});
  EXPECT_LT(relative_error(map("x.left.ig.npy"), maps[0]), 5e-6);
}

TEST_F(CliExplain, ThreadsAndNeighboursDoNotChangeAMap) {
  save_tensor("x.npy");
  save_tensor("y.npy", 2);
  fresh({file("x.npy"), "--label", "left"});
  const std::vector<float> plain = map("x.left.snna.npy");
  fresh({file("x.npy"), "--label", "left"});
  EXPECT_EQ(map("x.left.snna.npy"), plain) << "the same settings give the same bits";
  fresh({file("x.npy"), "--label", "left", "--threads", "1"});
  EXPECT_LT(relative_error(map("x.left.snna.npy"), plain), 5e-6);
  fresh({file("y.npy"), file("x.npy"), "--label", "all"});
  EXPECT_LT(relative_error(map("x.left.snna.npy"), plain), 5e-6);
}

TEST_F(CliExplain, TheLeastMemoryLimitIsNamedAndChangesNothingButTheBatches) {
  save_tensor("x.npy");
  const auto limited = [&](const std::string& bytes) {
    const json manifest =
        fresh({file("x.npy"), "--label", "left", "--samples", "12", "--memory-limit", bytes});
    return manifest["inputs"][0];
  };
  const json roomy = limited("1G");
  EXPECT_EQ(roomy["samples_at_a_time"], 12);
  const std::vector<float> plain = map("x.left.snna.npy");
  std::filesystem::remove_all(directory_ / "out");
  const Outcome refused =
      explain({file("x.npy"), "--label", "left", "--samples", "12", "--memory-limit", "1K"});
  expect_nothing_written(refused, 1, {"memory limit", "1024"});
  const std::size_t least = refused.err.find("at least ");
  ASSERT_NE(least, std::string::npos) << refused;
  const std::int64_t bytes = std::stoll(refused.err.substr(least + 9));
  const json tight = limited(std::to_string(bytes));
  EXPECT_LT(tight["samples_at_a_time"].get<int>(), 12);
  EXPECT_LE(tight["device_bytes"].get<std::int64_t>(), bytes);
  EXPECT_LT(relative_error(map("x.left.snna.npy"), plain), 5e-6);
  std::filesystem::remove_all(directory_ / "out");
  expect_nothing_written(explain({file("x.npy"), "--label", "left", "--samples", "12",
                                  "--memory-limit", std::to_string(bytes - 1)}),
                         1, {"memory limit", std::to_string(bytes)});
}

TEST_F(CliExplain, ADryRunChecksAndPredictsButWritesNothing) {
  const Outcome outcome = explain({file("street.png"), "--dry-run", "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  const json plan = json::parse(outcome.out);
  EXPECT_GT(plan["flops"].get<double>(), 1e6);
  EXPECT_GT(plan["peak_memory_bytes"].get<double>(), 1e6);
  EXPECT_FALSE(std::filesystem::exists(file("out")));
  expect_nothing_written(explain({file("street.png"), "--dry-run", "--label", "up"}), 1, {"up"});
}

TEST_F(CliExplain, EveryMethodAndBothFormulationsComeOutOfOneCommand) {
  for (const std::string formulation : {"paper", "authors"}) {
    const json manifest = fresh({file("street.png"), "--method", "all", "--label", "left",
                                 "--formulation", formulation, "--ig-steps", "3"});
    const json& maps = manifest["inputs"][0]["explained"][0]["maps"];
    EXPECT_EQ(maps.size(), 12u);
    EXPECT_EQ(outputs().size(), 2 * 12u + 2) << formulation;
    for (const json& one : maps) {
      for (const float value : map(one["npy"])) EXPECT_TRUE(std::isfinite(value)) << one;
    }
  }
}

TEST_F(CliExplain, OverlaysFollowColourMapBlendAndPredictions) {
  const auto overlay = [&](const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {file("street.png"), "--label", "left", "--method", "attgrad"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    fresh(all);
    return engine::read_image(output("street.left.attgrad.png")).rgb;
  };
  const auto plain = overlay({});
  EXPECT_EQ(overlay({"--colormap", "jet", "--alpha", "0.5", "--blend", "blend"}), plain);
  EXPECT_NE(overlay({"--colormap", "viridis"}), plain);
  EXPECT_NE(overlay({"--blend", "add"}), plain);
  EXPECT_NE(overlay({"--draw-predictions"}), plain);
  // Nothing of the heat: the picture itself.
  fresh({file("street.png"), "--label", "left", "--method", "attgrad", "--alpha", "0", "--size",
         "48x48"});
  const auto bare = overlay({"--alpha", "0"});
  EXPECT_EQ(bare, overlay({"--alpha", "0", "--colormap", "magma"}));
}

}  // namespace
}  // namespace vitsnna::test
