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

#include "engine/io/safetensors.h"
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
    return command_line("finetune",
                        {{"--model", file("model.safetensors")},
                         {"--data", "snna:" + file("set")},
                         {"--output", file(run)},
                         {"--size", "48x64"},
                         {"--epochs", "6"},
                         {"--batch", "8"},
                         {"--lr", "0.5"},
                         {"--optimizer", "adamw"},
                         {"--threads", "1"},
                         {"--decode-threads", "1"}},
                        more);
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
  const Outcome outcome = finetune(
      "whole", {"--whole-model", "--layer-decay", "0.7", "--model", file("head/best.safetensors")});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("goes on with the model's own head"), std::string::npos) << outcome;
  EXPECT_TRUE(fs::exists(file("whole/last.safetensors")));
  EXPECT_NE(outcome.err.find("images/s  data stall"), std::string::npos) << outcome;
  std::istringstream timing(read_bytes(file("whole/timing.jsonl")));
  std::string line;
  ASSERT_TRUE(std::getline(timing, line));
  EXPECT_GT(json::parse(line).at("images_per_second").get<double>(), 0) << line;
}

TEST_F(CliFinetune, EveryOptionIsResolvedInTheConfiguration) {
  ASSERT_EQ(finetune("own").exit_code, 0);
  json config = json::parse(read_bytes(file("own/config.json")));
  EXPECT_EQ(config.at("blocks"), 1);  // the model's own head goes on
  EXPECT_EQ(config.at("split"), "train");
  EXPECT_EQ(config.at("val_split"), "val");
  EXPECT_EQ(config.at("val_data"), config.at("data"));
  EXPECT_EQ(config.at("part"), "teacher");
  ASSERT_EQ(finetune("paper", {"--recipe", "paper", "--positive-weights", "balanced"}).exit_code,
            0);
  EXPECT_EQ(json::parse(read_bytes(file("paper/config.json"))).at("blocks"), 4);
  EXPECT_EQ(model::load_checkpoint(file("paper/last.safetensors")).config.head_blocks, 4);
}

TEST_F(CliFinetune, ALabelOfOneValueHasNoBalancedWeight) {
  json labels = json::parse(read_bytes(file("set/train.json")));
  for (auto& [name, values] : labels.items()) values[2] = 1;
  write_bytes(file("set/train.json"), labels.dump());
  const Outcome outcome = finetune("run", {"--positive-weights", "balanced"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("label left has 24 positives in 24"), std::string::npos) << outcome;
  EXPECT_FALSE(fs::exists(file("run")));
}

/// What would make a score worth nothing.
TEST_F(CliFinetune, NoImageIsBothLearntFromAndValidatedOn) {
  const auto refused = [&](const std::vector<std::string>& more, const std::string& text) {
    const Outcome outcome = finetune("run", more);
    EXPECT_EQ(outcome.exit_code, 1) << outcome;
    EXPECT_NE(outcome.err.find(text), std::string::npos) << text << "\n" << outcome;
    EXPECT_FALSE(fs::exists(file("run")));
  };
  refused({"--val-split", "train"}, "00.png: would be learnt from and validated on");
  fs::create_directory_symlink(file("set"), file("link"));
  refused({"--val-data", "snna:" + file("link"), "--val-split", "train"}, "00.png: would be");
  write_bytes(file("set/val/set.csv"),
              "path,forward,stop_slow,left,right\n00.png,1,0,0,1\n01.png,0,1,0,1\n");
  const std::string csv = "csv:" + file("set/val/set.csv");
  refused({"--data", csv, "--val-data", csv, "--batch", "2"}, "00.png: would be");
  // Neither of the two is known to be what is learnt from.
  fs::rename(file("set/train"), file("set/test"));
  fs::rename(file("set/train.json"), file("set/test.json"));
  refused({}, "--split: wanted, as snna:" + file("set") + " has no split train; there: val, test");
  EXPECT_EQ(finetune("run", {"--split", "test"}).exit_code, 0);
}

TEST_F(CliFinetune, ARunGoesOnWithItsOwnOptionsAndImagesAlone) {
  save_small_model(file("other.safetensors"));
  ASSERT_EQ(finetune("run", {"--head", file("other.safetensors")}).exit_code, 0);
  const auto refused = [&](const std::vector<std::string>& more, const std::string& text) {
    std::vector<std::string> all = {"--resume"};
    all.insert(all.end(), more.begin(), more.end());
    const Outcome outcome = finetune("run", all);
    EXPECT_EQ(outcome.exit_code, 1) << outcome;
    EXPECT_NE(outcome.err.find("begun with " + text), std::string::npos) << text << "\n" << outcome;
  };
  refused({"--head", file("other.safetensors"), "--seed", "2"}, "seed = 0");
  refused({"--head", file("other.safetensors"), "--heads", "4"}, "heads = 0, now it is 4");
  refused({}, "head_sha256");
  // The labels under the same path are others, then the images are; elsewhere the same ones will
  // do.
  const std::string head = file("other.safetensors"), labels = read_bytes(file("set/train.json"));
  json changed = json::parse(labels);
  changed.at("03.png").at(0) = 1 - changed.at("03.png").at(0).get<int>();
  write_bytes(file("set/train.json"), changed.dump());
  refused({"--head", head}, "data_sha256");
  write_bytes(file("set/train.json"), labels);
  const std::string val_labels = read_bytes(file("set/val.json"));
  changed = json::parse(val_labels);
  changed.erase("03.png");
  write_bytes(file("set/val.json"), changed.dump());
  refused({"--head", head}, "val_data_sha256");
  write_bytes(file("set/val.json"), val_labels);
  fs::rename(file("set"), file("moved"));
  EXPECT_EQ(
      finetune("run", {"--resume", "--head", head, "--data", "snna:" + file("moved")}).exit_code,
      0);
  fs::rename(file("moved"), file("set"));
  fs::copy_file(file("run/last.safetensors"), file("other.safetensors"),
                fs::copy_options::overwrite_existing);
  refused({"--head", file("other.safetensors")}, "head_sha256");
}

TEST_F(CliFinetune, AnOptionThatNothingComesOfIsWrongUsage) {
  const auto refused = [&](const std::vector<std::string>& more, const char* option) {
    const Outcome outcome = finetune("run", more);
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_NE(outcome.err.find(std::string("error: ") + option), std::string::npos) << outcome;
    EXPECT_FALSE(fs::exists(file("run")));
  };
  refused({"--cache", "ram"}, "--cache");
  refused({"--whole-model", "--cache-folder", file("cache")}, "--cache-folder");
  refused({"--momentum", "0.5"}, "--momentum");
  refused({"--layer-decay", "0.5"}, "--layer-decay");
  refused({"--flip", "0.5"}, "--flip");
}

/// More pictures to be validated on than there is time for before a signal comes.
TEST_F(CliFinetune, ASignalEndsAnyPassAndTheRunGoesOnToTheSameBytes) {
  json labels = json::parse(read_bytes(file("set/val.json")));
  for (int k = 8; k < 400; ++k) {
    const std::string name = fmt::format("{:03d}.png", k);
    fs::copy_file(file(fmt::format("set/train/{:02d}.png", k % 24)), file("set/val/" + name));
    labels[name] = {1 - k % 2, k % 2, k / 2 % 2, 1 - k / 2 % 2};
  }
  write_bytes(file("set/val.json"), labels.dump());
  const auto stop = [&](const std::vector<std::string>& more, const std::string& seen, int after) {
    Running running(on_the_cpu(arguments("stopped", more)));
    if (!seen.empty()) running.wait_for(file(seen));
    std::this_thread::sleep_for(std::chrono::milliseconds(after));
    running.send(SIGTERM);
    return running.wait();
  };
  // While features are computed there is nothing to keep.
  const Outcome early = stop({"--size", "96x128"}, "", 400);
  EXPECT_EQ(early.exit_code, 0) << early;
  EXPECT_NE(early.out.find("stopped by a signal before a step"), std::string::npos) << early;
  EXPECT_FALSE(fs::exists(file("stopped")));

  const std::vector<std::string> whole = {"--whole-model", "--epochs", "2", "--size", "96x128"};
  ASSERT_EQ(finetune("unbroken", whole).exit_code, 0);
  // When the first validation goes on is found by halving.
  const std::string validated = file("stopped/checkpoints/step-000000003.safetensors");
  bool in_validation = false;
  for (int least = 0, most = 4000, attempt = 0; attempt < 12 && !in_validation; ++attempt) {
    const int after = (least + most) / 2;
    fs::remove_all(file("stopped"));
    const Outcome outcome = stop(whole, "stopped/checkpoints/step-000000000.safetensors", after);
    ASSERT_EQ(outcome.exit_code, 0) << outcome;
    const bool reached = fs::exists(validated);
    in_validation = reached && engine::read_safetensors(validated).metadata.contains("pending");
    if (in_validation) {
      EXPECT_NE(outcome.out.find("stopped by a signal after step 3 of 6"), std::string::npos)
          << outcome;
    }
    (reached ? most : least) = after;
  }
  EXPECT_TRUE(in_validation);
  std::vector<std::string> resume = whole;
  resume.push_back("--resume");
  const Outcome last = finetune("stopped", resume);
  ASSERT_EQ(last.exit_code, 0) << last;
  for (const char* name : {"best.safetensors", "last.safetensors", "metrics.jsonl",
                           "checkpoints/step-000000006.safetensors"}) {
    EXPECT_TRUE(read_bytes(file(std::string("stopped/") + name)) ==
                read_bytes(file(std::string("unbroken/") + name)))
        << name;
  }
  EXPECT_EQ(read_bytes(file("stopped/timing.jsonl")).find("null"), std::string::npos);
}

TEST_F(CliFinetune, AnOutputThatCannotBeAFolderIsFoundBeforeAnythingIsComputed) {
  write_bytes(file("taken"), "no folder");
  for (const char* output : {"taken", "taken/run"}) {
    const Outcome outcome = finetune(output);
    EXPECT_EQ(outcome.exit_code, 1) << outcome;
    EXPECT_NE(outcome.err.find("taken is no folder"), std::string::npos) << outcome;
    EXPECT_EQ(outcome.err.find("features of"), std::string::npos) << outcome;
  }
}

TEST_F(CliFinetune, AFullDiskLeavesTheLastCheckpointWhole) {
  const std::vector<std::string> whole = {"--whole-model", "--epochs", "2"};
  ASSERT_EQ(finetune("run", whole).exit_code, 0);
  fs::remove(file("run/checkpoints/step-000000006.safetensors"));
  const std::string kept = file("run/checkpoints/step-000000003.safetensors");
  const std::string before = read_bytes(kept);
  // Room for a model, not for its moments beside it.
  const auto blocks = static_cast<int>(before.size() / 2 / 512);
  ASSERT_GT(512 * blocks, static_cast<int>(fs::file_size(file("run/best.safetensors"))));
  std::vector<std::string> resume = whole;
  resume.push_back("--resume");
  const Outcome outcome = Running(on_the_cpu(arguments("run", resume)), room_for(blocks)).wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_NE(outcome.err.find("step-000000006.safetensors"), std::string::npos) << outcome;
  EXPECT_TRUE(read_bytes(kept) == before);
  EXPECT_FALSE(fs::exists(file("run/checkpoints/step-000000006.safetensors")));
  EXPECT_EQ(finetune("run", resume).exit_code, 0);
}

TEST_F(CliFinetune, EvaluateTakesThePixelsThatPredictTakes) {
  fs::create_directories(file("one"));
  cv::Mat wide(48, 130, CV_8UC3);
  cv::randu(wide, cv::Scalar::all(0), cv::Scalar::all(255));
  write_bytes(file("one/0.png"), encode(".png", wide));
  write_bytes(file("one/set.csv"), "path,forward,stop_slow,left,right\n0.png,1,1,1,1\n");
  // A model that says no size, a square one that keeps a share of the picture, and both kinds of
  // size with a remainder by patches of 8.
  model::ModelMetadata metadata = small_metadata();
  save_small_model(file("plain.safetensors"), small_config(), metadata);
  metadata.input_size = {48, 48};
  metadata.crop_pct = .75;
  save_small_model(file("cropped.safetensors"), small_config(), metadata);
  metadata.input_size = {55, 55};
  save_small_model(file("square.safetensors"), small_config(), metadata);
  metadata.input_size = {37, 60};
  save_small_model(file("wide.safetensors"), small_config(), metadata);
  std::set<double> losses;
  for (const char* model : {"plain", "cropped", "square", "wide"}) {
    const std::string name = file(fmt::format("{}.safetensors", model));
    const Outcome score =
        run_binary({"evaluate", "--model", name, "--data", "csv:" + file("one/set.csv"), "--json"});
    ASSERT_EQ(score.exit_code, 0) << score;
    const Outcome predicted = run_binary({"predict", "--model", name, file("one/0.png"), "--json"});
    ASSERT_EQ(predicted.exit_code, 0) << predicted;
    const json predictions = json::parse(predicted.out);
    double loss = 0;
    for (const json& logit : predictions.at("inputs").at(0).at("logits")) {
      loss += std::log1p(std::exp(-logit.get<double>())) / 4;
    }
    const json scores = json::parse(score.out);
    losses.insert(scores.at("loss").get<double>());
    EXPECT_NEAR(scores.at("loss").get<double>(), loss, 1e-5) << model;
    if (model == std::string("wide")) {
      EXPECT_EQ(scores.at("height"), 32);
      EXPECT_EQ(scores.at("width"), 56);
      EXPECT_NE(score.err.find("5 rows at the bottom and 4 columns"), std::string::npos) << score;
    }
  }
  EXPECT_EQ(losses.size(), 4u);
}

TEST_F(CliFinetune, EvaluateChecksItsOutputFirst) {
  const auto evaluate = [&](const std::string& output, const std::vector<std::string>& more = {}) {
    std::vector<std::string> all = {"evaluate",
                                    "--model",
                                    file("model.safetensors"),
                                    "--data",
                                    "snna:" + file("set"),
                                    "--output",
                                    output,
                                    "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    return run_binary(all);
  };
  write_bytes(file("scores.json"), "mine");
  expect_failure(evaluate(file("scores.json")), 1, {"scores.json", "--force"});
  EXPECT_EQ(read_bytes(file("scores.json")), "mine");
  EXPECT_EQ(evaluate(file("scores.json"), {"--force"}).exit_code, 0);
  EXPECT_EQ(json::parse(read_bytes(file("scores.json"))).at("images"), 8);
  expect_failure(evaluate(file("none/scores.json")), 1, {"none/scores.json"});
  expect_failure(evaluate(file("set")), 1, {"is a folder"});
}

TEST_F(CliFinetune, KilledAndResumedItComesToTheSameBytes) {
  for (const std::vector<std::string>& kind :
       {std::vector<std::string>{}, std::vector<std::string>{"--whole-model"}}) {
    fs::remove_all(file("whole"));
    fs::remove_all(file("broken"));
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(finetune("whole", kind).exit_code, 0);
    const auto unbroken = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begin);
    std::vector<std::string> resume = kind;
    resume.push_back("--resume");
    std::mt19937 generator(1);
    std::uniform_int_distribution<int> milliseconds(
        5, std::max(10, static_cast<int>(unbroken.count())));
    int killed = 0, gone_on = 0;
    for (int k = 0; k < 20 && (k < 6 || killed == 0 || gone_on == 0); ++k) {
      Running running(on_the_cpu(arguments("broken", resume)));
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds(generator)));
      running.send(SIGKILL);
      const Outcome outcome = running.wait();
      killed += outcome.signal == SIGKILL ? 1 : 0;
      const std::size_t said = outcome.err.find("going on after step ");
      gone_on += said != std::string::npos && outcome.err[said + 20] != '0' ? 1 : 0;
    }
    EXPECT_GT(killed, 0);
    EXPECT_GT(gone_on, 0);
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

/// And leaves nothing in the way of the command that is right.
TEST_F(CliFinetune, WhatDoesNotFitIsNamed) {
  const auto refused = [&](const std::vector<std::string>& more, int code,
                           const std::vector<std::string>& texts) {
    const Outcome outcome = finetune("run", more);
    EXPECT_EQ(outcome.exit_code, code) << outcome;
    for (const std::string& text : texts) {
      EXPECT_NE(outcome.err.find(text), std::string::npos) << text << "\n" << outcome;
    }
    EXPECT_FALSE(fs::exists(file("run"))) << outcome;
  };
  refused({"--blocks", "99"}, 1, {"--blocks", "99"});
  refused({"--size", "50x64"}, 1, {"--size: 50x64", "patch size 8"});
  model::VitConfig deep = small_config();
  deep.channels = 4;
  save_small_model(file("deep.safetensors"), deep);
  refused({"--model", file("deep.safetensors")}, 1,
          {"deep.safetensors: takes images of 4 channels"});
  refused({"--batch", "25"}, 1, {"--batch: 25", "24"});
  refused({"--warmup-epochs", "7"}, 1, {"--warmup-epochs", "7"});
  refused({"--val-split", "test"}, 1, {"has no split test"});
  refused({"--val-data", file("model.safetensors")}, 1, {"model.safetensors"});
  refused({"--seed", "-1"}, 2, {"--seed"});
  refused({"--size", "0x9"}, 2, {"--size: '0x9'"});
  refused({"--whole-model", "--layer-decay", "2"}, 2, {"--layer-decay"});
  refused({"--val-data", file("set/val")}, 1, {"has no labels"});
  refused({"--data", file("set/val")}, 1, {"--val-data", "has no split val"});
  write_bytes(file("set/train/00.png"), "no picture");
  refused({}, 1, {"unreadable", "00.png"});
  const Outcome evaluated =
      run_binary({"evaluate", "--model", file("model.safetensors"), "--data", file("set/val")});
  EXPECT_EQ(evaluated.exit_code, 1);
  EXPECT_NE(evaluated.err.find("has no labels"), std::string::npos) << evaluated;
}

}  // namespace
}  // namespace vitsnna::test
