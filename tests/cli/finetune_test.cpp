// `finetune` and `evaluate`: a labelled set becomes a model whose decisions are scored, and a run
// that ends early goes on to the same bytes.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <random>
#include <sstream>
#include <thread>

#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class CliFinetune : public CliTest {
 protected:
  /// Dark and bright pictures: stop_slow says which, the other labels follow from it or do not.
  void SetUp() override {
    CliTest::SetUp();
    for (const auto& [split, count] : {std::pair("train", 24), std::pair("val", 8)}) {
      fs::create_directories(file(std::string("set/") + split));
      json labels = json::object();
      for (int k = 0; k < count; ++k) {
        const std::string name = fmt::format("{:02d}.png", k);
        cv::Mat image(48, 64, CV_8UC3);
        cv::randu(image, cv::Scalar::all(k % 2 == 0 ? 0 : 150),
                  cv::Scalar::all(k % 2 == 0 ? 90 : 255));
        write_bytes(file(fmt::format("set/{}/{}", split, name)), encode(".png", image));
        labels[name] = {1 - k % 2, k % 2, k / 2 % 2, 1 - k / 2 % 2};
      }
      write_bytes(file(fmt::format("set/{}.json", split)), labels.dump());
    }
  }
  std::vector<std::string> arguments(const std::string& run,
                                     const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"finetune",
                                    "--model",
                                    file("model.safetensors"),
                                    "--data",
                                    "snna:" + file("set"),
                                    "--output",
                                    file(run),
                                    "--size",
                                    "48x64",
                                    "--epochs",
                                    "6",
                                    "--batch",
                                    "8",
                                    "--lr",
                                    "0.5",
                                    "--optimizer",
                                    "adamw",
                                    "--threads",
                                    "1",
                                    "--decode-threads",
                                    "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Outcome finetune(const std::string& run, const std::vector<std::string>& more = {}) const {
    return run_binary(arguments(run, more));
  }
};

TEST_F(CliFinetune, ALabelledSetBecomesAModelThatEvaluateScoresAlike) {
  const Outcome outcome = finetune("run", {"--json", "--tune-thresholds", "--blocks", "2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("epoch 6/6"), std::string::npos) << outcome;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result.at("steps"), 18);
  const json& labels = result.at("validation").at("labels");
  EXPECT_EQ(labels.at(1).at("name"), "stop_slow");
  EXPECT_EQ(labels.at(1).at("auc"), 1.);
  EXPECT_EQ(labels.at(1).at("f1"), 1.);
  EXPECT_EQ(labels.at(1).at("constant_accuracy"), .5);
  EXPECT_EQ(read_bytes(file("run/curve.png")).substr(1, 3), "PNG");

  const Outcome evaluated =
      run_binary({"evaluate", "--model", file("run/last.safetensors"), "--data",
                  "snna:" + file("set"), "--json", "--output", file("scores.json")});
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated;
  const json scores = json::parse(evaluated.out);
  EXPECT_EQ(json::parse(read_bytes(file("scores.json"))), scores);
  EXPECT_EQ(scores.at("images"), 8);
  EXPECT_EQ(scores.at("labels"), labels);
  EXPECT_EQ(scores.at("mean"), result.at("validation").at("mean"));

  // `predict` sees the pixels that it was scored on, of wide pictures too.
  fs::create_directories(file("wide"));
  cv::Mat wide(48, 130, CV_8UC3);
  cv::randu(wide, cv::Scalar::all(0), cv::Scalar::all(255));
  wide.colRange(0, 30) = cv::Scalar(255, 255, 255);
  write_bytes(file("wide/0.png"), encode(".png", wide));
  write_bytes(file("wide/1.png"), encode(".png", cv::Mat::zeros(48, 130, CV_8UC3)));
  write_bytes(file("wide/set.csv"),
              "path,forward,stop_slow,left,right\n0.png,1,1,1,1\n1.png,0,0,0,0\n");
  const Outcome score = run_binary({"evaluate", "--model", file("run/last.safetensors"), "--data",
                                    "csv:" + file("wide/set.csv"), "--json"});
  ASSERT_EQ(score.exit_code, 0) << score;
  const Outcome predicted = run_binary({"predict", "--model", file("run/last.safetensors"),
                                        file("wide/0.png"), file("wide/1.png"), "--json"});
  ASSERT_EQ(predicted.exit_code, 0) << predicted;
  double loss = 0;
  const json predictions = json::parse(predicted.out);
  for (std::size_t k = 0; k < 2; ++k) {
    for (const json& logit : predictions.at("inputs").at(k).at("logits")) {
      loss += std::log1p(std::exp((k == 0 ? -1 : 1) * logit.get<double>())) / 8;
    }
  }
  EXPECT_NEAR(json::parse(score.out).at("loss").get<double>(), loss, 1e-5);

  // The model is one that every other command reads.
  const Outcome info = run_binary({"info", "--json", file("run/best.safetensors")});
  ASSERT_EQ(info.exit_code, 0) << info;
  const Outcome explained = run_binary({"explain", "--model", file("run/last.safetensors"),
                                        file("set/val/01.png"), "--output", file("out")});
  EXPECT_EQ(explained.exit_code, 0) << explained;
}

TEST_F(CliFinetune, TheWholeModelLearnsAndItsHeadGoesOn) {
  ASSERT_EQ(finetune("head").exit_code, 0);
  std::vector<std::string> all = arguments("whole", {"--whole-model", "--layer-decay", "0.7"});
  all[2] = file("head/best.safetensors");
  const Outcome outcome = run_binary(all);
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("goes on with the model's own head"), std::string::npos) << outcome;
  EXPECT_TRUE(fs::exists(file("whole/last.safetensors")));
}

TEST_F(CliFinetune, KilledAndResumedItComesToTheSameBytes) {
  for (const std::vector<std::string>& kind :
       {std::vector<std::string>{}, std::vector<std::string>{"--whole-model"}}) {
    fs::remove_all(file("whole"));
    fs::remove_all(file("broken"));
    ASSERT_EQ(finetune("whole", kind).exit_code, 0);
    std::vector<std::string> resume = kind;
    resume.push_back("--resume");
    std::mt19937 generator(1);
    std::uniform_int_distribution<int> milliseconds(20, 250);
    for (int k = 0; k < 6; ++k) {
      Running running(on_the_cpu(arguments("broken", resume)));
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds(generator)));
      running.send(SIGKILL);
      running.wait();
    }
    const Outcome last = finetune("broken", resume);
    ASSERT_EQ(last.exit_code, 0) << last;
    for (const char* name : {"best.safetensors", "last.safetensors", "metrics.jsonl",
                             "checkpoints/step-000000018.safetensors"}) {
      EXPECT_TRUE(read_bytes(file(std::string("broken/") + name)) ==
                  read_bytes(file(std::string("whole/") + name)))
          << name;
    }
  }
}

TEST_F(CliFinetune, WhatDoesNotFitIsNamed) {
  const auto refused = [&](const std::vector<std::string>& more, int code,
                           const std::vector<std::string>& texts) {
    std::vector<std::string> all = arguments("run");
    for (std::size_t k = 0; k < more.size(); k += 2) {
      const auto found = std::find(all.begin(), all.end(), more[k]);
      if (found == all.end()) {
        all.insert(all.end(), {more[k], more[k + 1]});
      } else {
        *(found + 1) = more[k + 1];
      }
    }
    const Outcome outcome = run_binary(all);
    EXPECT_EQ(outcome.exit_code, code) << outcome;
    for (const std::string& text : texts) {
      EXPECT_NE(outcome.err.find(text), std::string::npos) << text << "\n" << outcome;
    }
  };
  refused({"--blocks", "99"}, 1, {"--blocks", "99"});
  refused({"--val-split", "test"}, 1, {"test"});
  refused({"--val-data", file("model.safetensors")}, 1, {"model.safetensors"});
  refused({"--seed", "-1"}, 2, {"--seed"});
  refused({"--size", "0x9"}, 2, {"--size: '0x9'"});
  refused({"--layer-decay", "2"}, 2, {"--layer-decay"});
  refused({"--val-data", file("set/val")}, 1, {"has no labels"});
  refused({"--data", file("set/val")}, 1, {"--val-data", "has no split val"});
  EXPECT_FALSE(fs::exists(file("run/metrics.jsonl")));
  ASSERT_EQ(finetune("other", {"--seed", "1"}).exit_code, 0);
  const Outcome outcome = finetune("other", {"--seed", "2", "--resume"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("seed"), std::string::npos) << outcome;
  const Outcome evaluated =
      run_binary({"evaluate", "--model", file("model.safetensors"), "--data", file("set/val")});
  EXPECT_EQ(evaluated.exit_code, 1);
  EXPECT_NE(evaluated.err.find("has no labels"), std::string::npos) << evaluated;
}

}  // namespace
}  // namespace vitsnna::test
