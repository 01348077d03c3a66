// `predict`: the JSON object of the README, top five or every action, and every kind of input.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

using nlohmann::json;

class CliPredict : public CliTest {
 protected:
  Outcome predict(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"predict", "--model", file("model.safetensors")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_binary(all);
  }
  json predict_json(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const Outcome outcome = predict(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return json::parse(outcome.out);
  }
};

TEST_F(CliPredict, JsonHoldsLogitsProbabilitiesAndTheClassesAtOrAboveTheirThreshold) {
  const json result = predict_json({file("street.png")});
  ASSERT_EQ(result.size(), 1u);
  ASSERT_EQ(result["inputs"].size(), 1u);
  const json& one = result["inputs"][0];
  EXPECT_EQ(one.size(), 4u);
  EXPECT_EQ(one["input"], file("street.png"));
  ASSERT_EQ(one["logits"].size(), 4u);
  ASSERT_EQ(one["probabilities"].size(), 4u);
  const std::vector<std::string> names = {"forward", "stop_slow", "left", "right"};
  json expected = json::array();
  for (std::size_t i = 0; i < 4; ++i) {
    const double logit = one["logits"][i];
    const double probability = one["probabilities"][i];
    EXPECT_NEAR(probability, 1 / (1 + std::exp(-logit)), 1e-6);
    if (probability >= .5) {
      expected.push_back({{"index", i}, {"label", names[i]}, {"probability", probability}});
    }
  }
  EXPECT_EQ(one["predicted"], expected);
}

TEST_F(CliPredict, ThresholdsDecideWhatIsPredicted) {
  EXPECT_EQ(predict_json({file("street.png"), "--threshold", "0"})["inputs"][0]["predicted"].size(),
            4u);
  EXPECT_EQ(predict_json({file("street.png"), "--threshold", "1"})["inputs"][0]["predicted"].size(),
            0u);
  const json some =
      predict_json({file("street.png"), "--threshold", "1,1,0,1"})["inputs"][0]["predicted"];
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0]["label"], "left");
}

TEST_F(CliPredict, SoftmaxGivesTheFiveMostProbableInOrder) {
  model::VitConfig config = small_config();
  config.num_classes = 7;
  model::ModelMetadata metadata;
  save_small_model(file("model.safetensors"), config, metadata);
  const json one = predict_json({file("street.png")})["inputs"][0];
  ASSERT_EQ(one["predicted"].size(), 5u);
  double sum = 0, before = 2;
  for (const json& probability : one["probabilities"]) sum += probability.get<double>();
  EXPECT_NEAR(sum, 1, 1e-5);
  for (const json& entry : one["predicted"]) {
    EXPECT_LE(entry["probability"].get<double>(), before);
    before = entry["probability"];
    EXPECT_EQ(entry["label"], std::to_string(entry["index"].get<int>()));
  }
  write_bytes(file("names.txt"), "a\nb\nc\nd\r\ne\nf\ng");
  const json named = predict_json({file("street.png"), "--labels", file("names.txt")});
  const std::size_t index = named["inputs"][0]["predicted"][0]["index"];
  EXPECT_EQ(named["inputs"][0]["predicted"][0]["label"], std::string(1, "abcdefg"[index]));
  write_bytes(file("few.txt"), "a\nb\n");
  expect_failure(predict({file("street.png"), "--labels", file("few.txt")}), 1,
                 {"few.txt", "2", "7"});
}

TEST_F(CliPredict, PlainOutputShowsEveryActionOfAMultiLabelHead) {
  const Outcome outcome = predict({file("street.png")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outcome.err, "");
  for (const char* text : {"street.png", "forward", "stop_slow", "left", "right", "%"}) {
    EXPECT_NE(outcome.out.find(text), std::string::npos) << text << outcome;
  }
  EXPECT_EQ(predict({file("street.png"), "--quiet"}).out, "");
}

TEST_F(CliPredict, FoldersAreSortedAndGlobsWorkWithoutTheShell) {
  std::filesystem::create_directory(file("pictures"));
  for (const char* name : {"pictures/b.png", "pictures/a.JPG", "pictures/.hidden.png"}) {
    write_bytes(file(name), encode(".png", gradient_image(50, 60)));
  }
  write_bytes(file("pictures/notes.txt"), "not an input");
  std::filesystem::create_directory(file("pictures/deeper"));
  const auto inputs_of = [&](const std::string& argument) {
    std::vector<std::string> names;
    const json result = predict_json({argument});
    for (const json& one : result["inputs"]) {
      names.push_back(std::filesystem::path(one["input"].get<std::string>()).filename().string());
    }
    return names;
  };
  EXPECT_EQ(inputs_of(file("pictures")), (std::vector<std::string>{"a.JPG", "b.png"}));
  EXPECT_EQ(inputs_of(file("pictures/*.png")), (std::vector<std::string>{"b.png"}));
  expect_failure(predict({file("pictures/*.gif")}), 1, {"*.gif"});
  expect_failure(predict({file("pictures/deeper")}), 1, {"deeper"});
}

TEST_F(CliPredict, ABatchedTensorEqualsItsItemsOneByOne) {
  const std::vector<float> pixels = random_image(48, 3 * 48, 7);
  engine::write_npy(file("batch.npy"), {3, 3, 48, 48}, pixels);
  const json batch = predict_json({file("batch.npy")})["inputs"];
  ASSERT_EQ(batch.size(), 3u);
  const std::size_t item = 3 * 48 * 48;
  for (std::size_t i = 0; i < 3; ++i) {
    engine::write_npy(file("one.npy"), {3, 48, 48}, std::span(pixels).subspan(i * item, item));
    EXPECT_EQ(predict_json({file("one.npy")})["inputs"][0]["logits"], batch[i]["logits"]);
    EXPECT_EQ(batch[i]["item"], i);
  }
}

TEST_F(CliPredict, WhatThePatchDoesNotDivideIsCutOffAndSaid) {
  engine::write_npy(file("odd.npy"), {3, 50, 51}, random_image(50, 51, 7));
  const Outcome outcome = predict({file("odd.npy")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("48x48"), std::string::npos) << outcome;
  EXPECT_EQ(outcome.error_lines(), 1u) << outcome;
}

TEST_F(CliPredict, RandomWeightsArePlainlySaidToMeanNothing) {
  const Outcome outcome = run_binary(
      {"predict", "--model", "random:3", "--size", "32x32", "--json", file("street.png")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("mean nothing"), std::string::npos) << outcome;
  EXPECT_EQ(json::parse(outcome.out)["inputs"][0]["logits"].size(), 4u);
}

}  // namespace
}  // namespace vitsnna::test
