// What a run leaves on disk survives what can happen to it.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <fstream>

#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"
#include "train/run/checkpoint_store.h"
#include "train/run/metrics_log.h"
#include "train/run/run_config.h"

namespace vitsnna {
namespace {

using engine::HostTensor;
using train::CheckpointStore;
using train::RunConfig;
using train::RunState;

RunState state_after(train::index_t steps) {
  RunState state;
  state.steps = steps;
  const std::vector<float> values(1000, static_cast<float>(steps));
  state.tensors.emplace("student/weight", HostTensor::from_floats({1000}, values));
  state.metadata.emplace("position", std::to_string(3 * steps));
  return state;
}

std::string text_of_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(CheckpointStore, KeepsTheNewestAndReadsThemBack) {
  const test::TempDirectory folder;
  CheckpointStore store(folder.path() / "checkpoints", 2);
  for (const train::index_t steps : {5, 90, 1000}) store.save(state_after(steps));
  ASSERT_EQ(store.files().size(), 2u);
  std::vector<std::string> problems;
  const auto state = store.newest(problems);
  ASSERT_TRUE(state);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(state->steps, 1000);
  EXPECT_EQ(state->metadata.at("position"), "3000");
  EXPECT_EQ(state->tensors.at("student/weight").to_floats(), std::vector<float>(1000, 1000.f));
}

TEST(CheckpointStore, PassesOverADamagedOneAndSaysSo) {
  const test::TempDirectory folder;
  CheckpointStore store(folder.path(), 3);
  for (const train::index_t steps : {1, 2, 3}) store.save(state_after(steps));
  std::filesystem::resize_file(store.files()[2], 100);
  std::ofstream(folder.path() / "step-x.safetensors") << "not one of them";
  std::vector<std::string> problems;
  const auto state = store.newest(problems);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->steps, 2);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("step-000000003"), std::string::npos) << problems[0];
  const CheckpointStore empty(folder.path() / "other", 1);
  EXPECT_FALSE(empty.newest(problems));
}

/// Else the run would begin anew and overwrite what may still be saved.
TEST(CheckpointStore, NoneThatCanBeReadIsAnErrorNamingThem) {
  const test::TempDirectory folder;
  CheckpointStore store(folder.path(), 3);
  for (const train::index_t steps : {1, 2}) store.save(state_after(steps));
  for (const auto& file : store.files()) std::filesystem::resize_file(file, 100);
  std::vector<std::string> problems;
  EXPECT_ERROR(store.newest(problems), "no checkpoint can be read", "step-000000001",
               "step-000000002");
}

TEST(CheckpointStore, NeverRemovesWhatItHasJustWritten) {
  const test::TempDirectory folder;
  CheckpointStore store(folder.path(), 1);
  store.save(state_after(30));
  std::filesystem::resize_file(store.files()[0], 100);
  std::ofstream(store.file_of(20)) << "damaged too";
  store.save(state_after(22));
  std::vector<std::string> problems;
  EXPECT_EQ(store.newest(problems)->steps, 22);
  EXPECT_FALSE(std::filesystem::exists(store.file_of(20)));
  store.save(state_after(30));
  ASSERT_EQ(store.files().size(), 1u);
  EXPECT_EQ(store.newest(problems)->steps, 30);
}

TEST(CheckpointStore, AFullDiskLeavesTheOthersAlone) {
  const test::TempDirectory folder;
  CheckpointStore store(folder.path(), 1);
  store.save(state_after(1));
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_ERROR(store.save(state_after(2)), "step-000000002");
  setrlimit(RLIMIT_FSIZE, &before);
  std::vector<std::string> problems;
  EXPECT_EQ(store.newest(problems)->steps, 1);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(CheckpointStore, RefusesAnotherFile) {
  const test::TempDirectory folder;
  CheckpointStore store(folder.path(), 1);
  RunState state = state_after(1);
  store.save(state);
  const auto file = store.files()[0];
  std::string bytes = text_of_file(file);
  bytes.replace(bytes.find("vitsnna-run-1"), 13, "vitsnna-run-9");
  std::ofstream(file, std::ios::binary) << bytes;
  EXPECT_ERROR(CheckpointStore::read(file), "step-000000001", "vitsnna-run-9");
  EXPECT_ERROR(CheckpointStore(folder.path(), 0), "at least 1");
}

TEST(MetricsLog, AResumedRunWritesWhatAnUnbrokenOneWould) {
  const test::TempDirectory folder;
  const auto file = folder.path() / "metrics.jsonl";
  {
    train::MetricsLog log(file, 0);
    for (train::index_t step = 1; step <= 4; ++step) {
      log.append(step, {{"loss", 1. / static_cast<double>(step)}});
    }
  }
  const std::string unbroken = text_of_file(file);
  std::ofstream(file, std::ios::app) << "{\"step\":5,\"lo";  // cut short
  train::MetricsLog log(file, 2);
  log.append(3, {{"loss", 1. / 3}});
  log.append(4, {{"loss", .25}});
  EXPECT_EQ(text_of_file(file), unbroken);
  train::MetricsLog(file, 4);  // of a run that is done: nothing is lost
  EXPECT_EQ(text_of_file(file), unbroken);
  log.append(5, {{"loss", std::nan("")}});
  EXPECT_NE(text_of_file(file).find("{\"loss\":null,\"step\":5}\n"), std::string::npos);
  log.sync();
}

/// A checkpoint's steps are on the disk before it is; what a crash leaves of later lines may be
/// anything.
TEST(MetricsLog, WhatACrashLeftBehindTheCheckpointIsDropped) {
  const test::TempDirectory folder;
  const auto file = folder.path() / "metrics.jsonl";
  const std::string whole = "{\"step\":1}\n{\"step\":2}\n";
  std::ofstream(file) << whole << "{\"st\n" << std::string(40, '\0') << "\n{\"step\":4}\n";
  const train::MetricsLog log(file, 2);
  EXPECT_EQ(text_of_file(file), whole);
  std::ofstream(file) << "{\"step\":1}\nhello\n{\"step\":2}\n";
  EXPECT_ERROR(train::MetricsLog(file, 2), "metrics.jsonl", "line 2");
  EXPECT_ERROR(train::MetricsLog(folder.path() / "none" / "metrics.jsonl", 0), "none");
}

TEST(RunConfig, GoesThroughAFileAndNamesWhatDiffers) {
  const test::TempDirectory folder;
  const auto file = folder.path() / "config.json";
  const RunConfig config{{"learning_rate", 5e-4 / 3},
                         {"batch", std::int64_t{16}},
                         {"norm_last_layer", true},
                         {"arch", std::string("vit_small")},
                         {"threads", std::int64_t{2}}};
  train::write_run_config(file, config);
  EXPECT_EQ(train::read_run_config(file), config);
  RunConfig wanted = config;
  wanted["threads"] = std::int64_t{8};
  train::require_same(file, config, wanted, {"threads"});
  wanted["batch"] = std::int64_t{32};
  EXPECT_ERROR(train::require_same(file, config, wanted, {"threads"}), "config.json", "batch", "16",
               "32");
  wanted = config;
  wanted.erase("arch");
  EXPECT_ERROR(train::require_same(file, config, wanted, {}), "arch", "vit_small");
  // A path may be any bytes.
  RunConfig bytes = config;
  bytes["data"] = std::string("caf\xE9/frames");
  train::write_run_config(file, bytes);
  const RunConfig stored = train::read_run_config(file);
  train::require_same(file, stored, bytes, {});
  bytes["data"] = std::string("caf\xE8/frames");
  EXPECT_ERROR(train::require_same(file, stored, bytes, {}), "data", "xe9", "xe8");
  std::ofstream(file) << "[1, 2]";
  EXPECT_ERROR(train::read_run_config(file), "config.json", "object");
  std::ofstream(file) << R"({"batch": [1]})";
  EXPECT_ERROR(train::read_run_config(file), "config.json", "batch");
}

}  // namespace
}  // namespace vitsnna
