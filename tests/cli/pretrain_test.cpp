// `pretrain`: a folder of images becomes a backbone, and what cannot be is said.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "tests/cli/pretrain_fixture.h"

namespace vitsnna::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TEST_F(CliPretrain, AFolderOfImagesBecomesABackbone) {
  const Outcome outcome = pretrain("run");
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("8 images"), std::string::npos) << outcome;
  EXPECT_NE(outcome.err.find("step 20/24"), std::string::npos) << outcome;
  const std::vector<json> lines = metrics("run");
  ASSERT_EQ(lines.size(), 24u);
  for (const char* name : {"loss", "teacher_entropy", "kl", "gradient_norm", "centre_norm",
                           "learning_rate", "weight_decay", "teacher_momentum"}) {
    EXPECT_TRUE(lines[23].at(name).is_number()) << name;
  }
  EXPECT_EQ(lines[23].at("step"), 24);
  EXPECT_EQ(json::parse(read_bytes(file("run/config.json"))).at("batch"), 4);
  EXPECT_EQ(read_bytes(file("run/curve.png")).substr(1, 3), "PNG");
  // Three checkpoints are kept, and no half-written file.
  EXPECT_EQ(names_in(file("run/checkpoints")),
            (std::vector<std::string>{"step-000000020.safetensors", "step-000000022.safetensors",
                                      "step-000000024.safetensors"}));
  const Outcome info = run_binary({"info", "--json", file("run/teacher.safetensors")});
  EXPECT_EQ(info.exit_code, 0) << info;
  const model::Checkpoint teacher = model::load_checkpoint(file("run/teacher.safetensors"));
  EXPECT_FALSE(teacher.config.has_head());
  EXPECT_EQ(teacher.config.num_heads, small_config().num_heads);
}

class CliPretrainNeighbours : public CliPretrain {
 protected:
  /// Eight labelled pictures to vote and four to be voted on.
  void SetUp() override {
    CliPretrain::SetUp();
    for (const auto& [split, count] : {std::pair("train", 8), std::pair("val", 4)}) {
      fs::create_directories(file(std::string("labelled/") + split));
      json labels = json::object();
      for (int k = 0; k < count; ++k) {
        const std::string name = std::to_string(k) + ".jpg";
        write_bytes(file(fmt::format("labelled/{}/{}", split, name)),
                    encode(".jpg", gradient_image(60 + k, 90 - 3 * k)));
        labels[name] = {k % 2, 1 - k % 2, k < count / 2 ? 1 : 0, 1};
      }
      write_bytes(file(fmt::format("labelled/{}.json", split)), labels.dump());
    }
  }
};

TEST_F(CliPretrainNeighbours, ScoreTheTeacherEveryFewEpochsAndTheBestIsKept) {
  const std::vector<std::string> more = {
      "--knn-every", "5", "--knn-data", "snna:" + file("labelled"), "--knn-size", "48x64"};
  const Outcome outcome = pretrain("run", more);
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("mean AUC"), std::string::npos) << outcome;
  std::map<int, double> scores;
  for (const json& line : metrics("run")) {
    if (!line.contains("knn_auc")) continue;
    scores[line.at("step").get<int>()] = line.at("knn_auc").get<double>();
    EXPECT_TRUE(line.at("knn_auc_right").is_null());  // all are positive
  }
  ASSERT_EQ(scores.size(), 4u);  // untrained, after epochs 5 and 10, and at the end
  EXPECT_TRUE(scores.contains(0) && scores.contains(10) && scores.contains(20) &&
              scores.contains(24));
  const model::Checkpoint best = model::load_checkpoint(file("run/best.safetensors"));
  EXPECT_EQ(best.config.num_heads, small_config().num_heads);
  // As if killed after step 22: everything comes out the same.
  const std::string log = read_bytes(file("run/metrics.jsonl"));
  const std::string kept = read_bytes(file("run/best.safetensors"));
  const std::string last = last_checkpoint("run");
  fs::remove(file("run/checkpoints/step-000000024.safetensors"));
  std::vector<std::string> resume = more;
  resume.push_back("--resume");
  ASSERT_EQ(pretrain("run", resume).exit_code, 0);
  EXPECT_EQ(read_bytes(file("run/metrics.jsonl")), log);
  EXPECT_TRUE(read_bytes(file("run/best.safetensors")) == kept);
  EXPECT_TRUE(last_checkpoint("run") == last);
}

TEST_F(CliPretrainNeighbours, WhatCannotVoteIsNamed) {
  const auto refused = [&](const std::vector<std::string>& more, int code, const char* text) {
    const Outcome outcome = pretrain("run", more);
    EXPECT_EQ(outcome.exit_code, code) << outcome;
    EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome;
    EXPECT_FALSE(fs::exists(file("run")));
  };
  refused({"--knn-every", "1"}, 1, "has no split train");
  refused({"--knn-every", "1", "--knn-data", file("nowhere")}, 1, "nowhere");
  refused({"--knn-data", "snna:" + file("labelled")}, 2, "--knn-every is wanted");
  refused({"--knn-every", "1", "--knn-data", "snna:" + file("labelled"), "--knn-size", "9"}, 2,
          "--knn-size");
  refused({"--knn-every", "1", "--knn-data", "snna:" + file("labelled"), "--knn-size", "48x60"}, 1,
          "--knn-size: 48x60, multiples of the model's patch size 8");
  // No teacher would be the best.
  fs::create_directories(file("alike/train"));
  fs::create_directories(file("alike/val"));
  for (const char* split : {"train", "val"}) {
    fs::copy(file("images/1.png"), file(fmt::format("alike/{}/1.png", split)));
    write_bytes(file(fmt::format("alike/{}.json", split)), R"({"1.png": [1, 0, 0, 1]})");
  }
  refused({"--knn-every", "1", "--knn-data", "snna:" + file("alike")}, 1,
          "every label has one value alone");
  // Of a set with splits one is learnt from: which, where it is not train?
  fs::rename(file("labelled/train"), file("labelled/test"));
  fs::rename(file("labelled/train.json"), file("labelled/test.json"));
  refused({"--data", "snna:" + file("labelled")}, 1, "--split: wanted");
}

TEST_F(CliPretrain, ThePapersRecipeSetsWhatIsNotGiven) {
  Outcome outcome = pretrain("run", {"--recipe", "paper", "--model", "random"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome;
  EXPECT_NE(outcome.err.find("--model"), std::string::npos) << outcome;
  // Not run to its end: options are refused on --resume with the resolved value.
  ASSERT_EQ(pretrain("run", {"--epochs", "2"}).exit_code, 0);
  const auto without = [&](const std::string& option) {
    std::vector<std::string> all =
        arguments("run", {"--epochs", "2", "--recipe", "paper", "--resume"});
    const auto found = std::find(all.begin(), all.end(), option);
    all.erase(found, found + 2);
    return run_binary(all);
  };
  outcome = without("--batch");
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_NE(outcome.err.find("begun with batch = 4, now it is 16"), std::string::npos) << outcome;
  outcome = without("--epochs");
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_NE(outcome.err.find("begun with epochs = 2, now it is 200"), std::string::npos) << outcome;
}

TEST_F(CliPretrain, AnOptionThatNothingComesOfIsWrongUsage) {
  const auto refused = [&](const std::vector<std::string>& more, const char* option) {
    const Outcome outcome = pretrain("run", more);
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_NE(outcome.err.find(std::string("error: ") + option), std::string::npos) << outcome;
    EXPECT_FALSE(fs::exists(file("run")));
  };
  refused({"--arch", "vit_tiny"}, "--arch");
  refused({"--patch-size", "8"}, "--patch-size");
  refused({"--model", "random", "--part", "student"}, "--part");
  refused({"--model", "random", "--heads", "2"}, "--heads");
  refused({"--cache-folder", file("cache")}, "--cache-folder");
}

TEST_F(CliPretrain, EveryOptionIsResolvedInTheConfiguration) {
  ASSERT_EQ(pretrain("run", {"--epochs", "2", "--global-size", "048x48"}).exit_code, 0);
  const json config = json::parse(read_bytes(file("run/config.json")));
  EXPECT_EQ(config.at("global_size"), "48x48");
  EXPECT_EQ(config.at("recipe"), "dino");
  EXPECT_EQ(config.at("part"), "teacher");
}

TEST_F(CliPretrain, WhatTheClockSaysIsLoggedBesideTheMetrics) {
  ASSERT_EQ(pretrain("run", {"--log-every", "8"}).exit_code, 0);
  std::istringstream text(read_bytes(file("run/timing.jsonl")));
  std::vector<int> steps;
  for (std::string line; std::getline(text, line);) {
    const json object = json::parse(line);
    steps.push_back(object.at("step"));
    EXPECT_GT(object.at("images_per_second").get<double>(), 0);
    EXPECT_GE(object.at("data_stall").get<double>(), 0);
    EXPECT_LE(object.at("data_stall").get<double>(), 1.01);
    EXPECT_GE(object.at("seconds_to_go").get<double>(), 0);
  }
  EXPECT_EQ(steps, (std::vector<int>{8, 16, 24}));
}

/// 6x10 patches are as many as no square has; 4x9 would pass for 6x6.
TEST_F(CliPretrain, ATeacherOfWideCropsSaysItsGrid) {
  for (const auto& [size, grid] :
       {std::pair("96x160", json{6, 10}), std::pair("64x144", json{4, 9})}) {
    const Outcome outcome = pretrain(
        size, {"--model", "random", "--arch", "vit_tiny", "--patch-size", "16", "--global-size",
               size, "--local-size", "32x48", "--epochs", "2", "--batch", "8"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome;
    const std::string teacher = file(std::string(size) + "/teacher.safetensors");
    const Outcome info = run_binary({"info", "--json", teacher});
    ASSERT_EQ(info.exit_code, 0) << info;
    const json found = json::parse(info.out).at("models").at(0);
    EXPECT_EQ(found.at("config").at("trained_grid"), grid);
    EXPECT_EQ(found.at("metadata").at("input_size").at(0), 16 * grid.at(0).get<int>());
    EXPECT_EQ(found.at("forward").at("tokens"), 1 + grid.at(0).get<int>() * grid.at(1).get<int>());
    // It is a start for another run too.
    const Outcome next = pretrain(std::string("next") + size,
                                  {"--model", teacher, "--global-size", size, "--local-size",
                                   "32x48", "--epochs", "2", "--batch", "8"});
    EXPECT_EQ(next.exit_code, 0) << next;
  }
}

/// A Python with timm, by $VITSNNA_PYTHON.
TEST_F(CliPretrain, TimmLoadsTheTeacherAsItIs) {
  const char* named = std::getenv("VITSNNA_PYTHON");
  const std::string python = named ? named : "python3";
  if (std::system((python + " -c 'import timm, safetensors.torch' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << python << " has no timm and safetensors (VITSNNA_PYTHON names another)";
  }
  ASSERT_EQ(pretrain("run", {"--model", "random", "--arch", "vit_tiny", "--patch-size", "16",
                             "--global-size", "96x96", "--local-size", "32x32", "--epochs", "2"})
                .exit_code,
            0);
  write_bytes(file("check.py"),
              "import sys, timm, safetensors.torch\n"
              "model = timm.create_model('vit_tiny_patch16_224', num_classes=0, img_size=96)\n"
              "model.load_state_dict(safetensors.torch.load_file(sys.argv[1]), strict=True)\n");
  const std::string command =
      fmt::format("{} {} {}", python, file("check.py"), file("run/teacher.safetensors"));
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST_F(CliPretrain, TheSizeOfCropsThatAreNotTakenMayBeAny) {
  const Outcome outcome =
      pretrain("run", {"--epochs", "2", "--local-crops", "0", "--local-size", "25x25"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
}

TEST_F(CliPretrain, JsonIsOneObject) {
  const Outcome outcome = pretrain("run", {"--epochs", "2", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(json::parse(outcome.out),
            (json{{"steps_done", 4}, {"steps", 4}, {"teacher", file("run/teacher.safetensors")}}));
}

TEST_F(CliPretrain, WhatCannotBeIsSaidAndNothingIsWritten) {
  const auto refused = [&](const std::vector<std::string>& more, int code,
                           const std::vector<std::string>& texts) {
    const Outcome outcome = pretrain("run", more);
    EXPECT_EQ(outcome.exit_code, code) << outcome;
    for (const std::string& text : texts) {
      EXPECT_NE(outcome.err.find(text), std::string::npos) << text << "\n" << outcome;
    }
    EXPECT_FALSE(fs::exists(file("run")));
  };
  refused({"--data", file("nowhere")}, 1, {"nowhere"});
  refused({"--data", file("model.safetensors")}, 1, {"model.safetensors"});
  refused({"--model", file("none.safetensors")}, 1, {"none.safetensors"});
  refused({"--batch", "16"}, 1, {"16", "8"});
  refused({"--accumulate", "3"}, 1, {"--batch", "multiple of 3"});
  refused({"--local-size", "20x24"}, 1, {"--local-size: 20x24", "patch size"});
  model::VitConfig grey = small_config();
  grey.channels = 1;
  save_small_model(file("grey.safetensors"), grey);
  refused({"--model", file("grey.safetensors")}, 1,
          {"grey.safetensors: takes images of 1 channel"});
  refused({"--local-size", "twenty"}, 2, {"--local-size", "twenty"});
  refused({"--warmup-epochs", "13"}, 1, {"--warmup-epochs", "13", "12"});
  refused({"--teacher-momentum", "1.5"}, 2, {"--teacher-momentum"});
  refused({"--out-dim", "1"}, 2, {"--out-dim", "'1'"});
  refused({"--batch", "0"}, 2, {"--batch", "'0'"});
  refused({"--lr", "nan"}, 2, {"--lr", "nan"});
  refused({"--drop-path", "nan"}, 2, {"--drop-path", "nan"});
  refused({"--drop-path", "1"}, 2, {"--drop-path", "'1'"});
  refused({"--seed", "-1"}, 2, {"--seed", "'-1'"});
  fs::create_directories(file("texts"));
  write_bytes(file("texts/note.txt"), "no image");
  refused({"--data", file("texts")}, 1, {"texts", "no images"});
}

}  // namespace
}  // namespace vitsnna::test
