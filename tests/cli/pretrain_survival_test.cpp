// Whatever ends a `pretrain` run, it goes on to the same weights, or says why not.
#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "engine/io/safetensors.h"
#include "tests/cli/pretrain_fixture.h"

namespace vitsnna::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TEST_F(CliPretrain, KilledTwentyTimesItComesToTheSameWeights) {
  ASSERT_EQ(pretrain("whole").exit_code, 0);
  std::mt19937 generator(1);
  std::uniform_int_distribution<int> milliseconds(5, 150);
  int killed = 0;
  for (int k = 0; k < 20; ++k) {
    Running running(on_the_cpu(arguments("broken", {"--resume"})));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds(generator)));
    running.send(SIGKILL);
    const Outcome outcome = running.wait();
    killed += outcome.signal == SIGKILL ? 1 : 0;
    if (outcome.signal == 0) {
      ASSERT_EQ(outcome.exit_code, 0) << outcome;
    }
  }
  EXPECT_GT(killed, 0);
  const Outcome last = pretrain("broken", {"--resume"});
  ASSERT_EQ(last.exit_code, 0) << last;
  EXPECT_TRUE(last_checkpoint("broken") == last_checkpoint("whole"));
  EXPECT_TRUE(read_bytes(file("broken/teacher.safetensors")) ==
              read_bytes(file("whole/teacher.safetensors")));
  EXPECT_TRUE(metrics("broken") == metrics("whole"));
  EXPECT_EQ(names_in(file("broken")), names_in(file("whole")));  // nothing half written is left
  EXPECT_EQ(names_in(file("broken/checkpoints")), names_in(file("whole/checkpoints")));
}

TEST_F(CliPretrain, GoingOnFromAnyCheckpointLeavesEveryLineOfTheMetrics) {
  ASSERT_EQ(pretrain("run").exit_code, 0);
  const std::string bytes = read_bytes(file("run/metrics.jsonl"));
  ASSERT_EQ(pretrain("run", {"--resume"}).exit_code, 0);  // nothing is left to do
  EXPECT_EQ(read_bytes(file("run/metrics.jsonl")), bytes);
  fs::remove(file("run/checkpoints/step-000000024.safetensors"));  // as if killed after step 22
  ASSERT_EQ(pretrain("run", {"--resume"}).exit_code, 0);
  EXPECT_EQ(read_bytes(file("run/metrics.jsonl")), bytes);
}

TEST_F(CliPretrain, ARunWhoseCheckpointsCannotBeReadIsLeftAlone) {
  ASSERT_EQ(pretrain("run").exit_code, 0);
  const std::string metrics = read_bytes(file("run/metrics.jsonl"));
  for (const std::string& name : names_in(file("run/checkpoints"))) {
    fs::resize_file(file("run/checkpoints/" + name), 100);
  }
  const Outcome outcome = pretrain("run", {"--resume"});
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_NE(outcome.err.find("no checkpoint can be read"), std::string::npos) << outcome;
  EXPECT_NE(outcome.err.find("step-000000024"), std::string::npos) << outcome;
  EXPECT_EQ(read_bytes(file("run/metrics.jsonl")), metrics);
  EXPECT_EQ(fs::file_size(file("run/checkpoints/step-000000024.safetensors")), 100u);
}

TEST_F(CliPretrain, ASignalSavesAndStops) {
  // Long enough that it is still going on when the first checkpoint has been seen.
  const std::vector<std::string> longer = {"--epochs", "60", "--checkpoint-every", "20"};
  std::vector<std::string> resume = longer;
  resume.push_back("--resume");
  ASSERT_EQ(pretrain("whole", longer).exit_code, 0);
  for (const int signal : {SIGTERM, SIGUSR1}) {
    fs::remove_all(file("stopped"));
    Running running(on_the_cpu(arguments("stopped", longer)));
    running.wait_for(file("stopped/checkpoints/step-000000020.safetensors"));
    ASSERT_FALSE(running.ended());
    running.send(signal);
    const Outcome outcome = running.wait();
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_NE(outcome.out.find("stopped by a signal"), std::string::npos) << outcome;
    const Outcome resumed = pretrain("stopped", resume);
    ASSERT_EQ(resumed.exit_code, 0) << resumed;
    EXPECT_TRUE(last_checkpoint("stopped", 120) == last_checkpoint("whole", 120));
  }
}

TEST_F(CliPretrain, OneProcessAtATimeWorksOnARun) {
  const std::vector<std::string> longer = {"--epochs", "60", "--checkpoint-every", "20"};
  Running running(on_the_cpu(arguments("run", longer)));
  running.wait_for(file("run/checkpoints/step-000000020.safetensors"));
  std::vector<std::string> resume = longer;
  resume.push_back("--resume");
  const Outcome second = pretrain("run", resume);
  ASSERT_FALSE(running.ended());
  EXPECT_EQ(second.exit_code, 1) << second;
  EXPECT_NE(second.err.find("run: another process is at work on this run"), std::string::npos)
      << second;
  EXPECT_EQ(running.wait().exit_code, 0);
  EXPECT_EQ(metrics("run").size(), 120u);
  EXPECT_EQ(pretrain("run", resume).exit_code, 0);
}

TEST_F(CliPretrain, ASignalThatTheParentIgnoresIsIgnored) {
  const std::vector<std::string> longer = {"--epochs", "60", "--checkpoint-every", "20"};
  Running running(on_the_cpu(arguments("run", longer)), "trap '' INT");
  running.wait_for(file("run/checkpoints/step-000000020.safetensors"));
  ASSERT_FALSE(running.ended());
  running.send(SIGINT);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.out.find("120 steps done"), std::string::npos) << outcome;
}

TEST_F(CliPretrain, AFullDiskLeavesTheLastCheckpointWhole) {
  ASSERT_EQ(pretrain("run").exit_code, 0);
  fs::remove(file("run/checkpoints/step-000000024.safetensors"));
  const std::string before = read_bytes(file("run/checkpoints/step-000000022.safetensors"));
  // Room for the teacher alone.
  const auto teacher = static_cast<int>(fs::file_size(file("run/teacher.safetensors")));
  const int blocks = 2 * teacher / 512;
  ASSERT_GT(before.size(), std::size_t(512) * static_cast<std::size_t>(blocks));
  const Outcome outcome =
      Running(on_the_cpu(arguments("run", {"--resume"})), room_for(blocks)).wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_NE(outcome.err.find("step-000000024.safetensors"), std::string::npos) << outcome;
  EXPECT_TRUE(read_bytes(file("run/checkpoints/step-000000022.safetensors")) == before);
  EXPECT_FALSE(fs::exists(file("run/checkpoints/step-000000024.safetensors")));
  EXPECT_EQ(pretrain("run", {"--resume"}).exit_code, 0);
}

TEST_F(CliPretrain, AStepThatIsNotFiniteEndsTheRunAndCanBeTakenAgain) {
  std::vector<std::string> more = {"--lr",         "1e10", "--warmup-epochs", "0", "--quiet",
                                   "--accumulate", "2"};
  const Outcome outcome = pretrain("run", more);
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_NE(outcome.err.find("not finite"), std::string::npos) << outcome;
  std::string failed;
  for (const std::string& name : names_in(file("run"))) {
    if (name.starts_with("failed-step-") && name.find(".rank") == std::string::npos) failed = name;
  }
  ASSERT_FALSE(failed.empty()) << outcome;
  EXPECT_NE(outcome.err.find("--replay " + file("run/" + failed)), std::string::npos) << outcome;
  const std::string stem = failed.substr(0, failed.find('.'));
  const engine::TensorFile inputs =
      engine::read_safetensors(file("run/" + stem + ".rank0.safetensors"));
  EXPECT_EQ(inputs.at("part-1/global").shape, (std::vector<std::int64_t>{4, 3, 48, 48}));

  const std::vector<std::string> before = names_in(file("run"));
  more.erase(std::find(more.begin(), more.end(), "--quiet"));
  more.insert(more.end(), {"--replay", file("run/" + failed)});
  const Outcome again = pretrain("run", more);
  EXPECT_EQ(again.exit_code, 0) << again;
  EXPECT_NE(again.out.find("not finite, as then"), std::string::npos) << again;
  EXPECT_EQ(names_in(file("run")), before);
  more.push_back("--json");
  const Outcome object = pretrain("run", more);
  ASSERT_EQ(object.exit_code, 0) << object;
  EXPECT_EQ(json::parse(object.out).at("reproduced"), true);
  EXPECT_EQ(json::parse(object.out).at("finite"), false);

  more.pop_back();
  more.insert(more.end(), {"--accumulate", "1"});
  const Outcome other = pretrain("run", more);
  EXPECT_EQ(other.exit_code, 1) << other;
  EXPECT_NE(other.err.find("--accumulate"), std::string::npos) << other;
  const Outcome nowhere = pretrain("elsewhere", {"--replay", file("run/" + failed)});
  EXPECT_EQ(nowhere.exit_code, 1) << nowhere;
  EXPECT_FALSE(fs::exists(file("elsewhere")));
}

TEST_F(CliPretrain, ARunGoesOnWithItsOwnOptionsAlone) {
  ASSERT_EQ(pretrain("run", {"--epochs", "2"}).exit_code, 0);
  Outcome outcome = pretrain("run", {"--epochs", "2"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("--resume"), std::string::npos) << outcome;
  outcome = pretrain("run", {"--epochs", "2", "--resume", "--lr", "0.02"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("lr"), std::string::npos) << outcome;
  EXPECT_NE(outcome.err.find("0.02"), std::string::npos) << outcome;
  outcome = pretrain("run", {"--epochs", "2", "--resume", "--drop-path", "0.2"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("drop_path"), std::string::npos) << outcome;
  fs::rename(file("images/1.png"), file("images/9.png"));  // another order of the same number
  outcome = pretrain("run", {"--epochs", "2", "--resume"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("data_sha256"), std::string::npos) << outcome;
  fs::rename(file("images/9.png"), file("images/1.png"));
  // Another model under the same name: its teacher, which has moved.
  fs::copy_file(file("run/teacher.safetensors"), file("model.safetensors"),
                fs::copy_options::overwrite_existing);
  outcome = pretrain("run", {"--epochs", "2", "--resume"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("model_sha256"), std::string::npos) << outcome;
  fs::create_directories(file("street"));
  write_bytes(file("street/note.txt"), "mine");
  outcome = pretrain("street");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("neither empty nor a run"), std::string::npos) << outcome;
}

/// The start's attention heads, where its file does not say them.
TEST_F(CliPretrain, HeadsOfTheStartMayBeGivenAndMayNotChange) {
  ASSERT_EQ(pretrain("run", {"--epochs", "2", "--heads", "4"}).exit_code, 0);
  EXPECT_EQ(model::load_checkpoint(file("run/teacher.safetensors")).config.num_heads, 4);
  const Outcome outcome = pretrain("run", {"--epochs", "2", "--heads", "2", "--resume"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("heads = 4, now it is 2"), std::string::npos) << outcome;
}

}  // namespace
}  // namespace vitsnna::test
