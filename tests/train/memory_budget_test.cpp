// How much memory may be kept, and what control groups leave.
#include "train/data/memory_budget.h"

#include <gtest/gtest.h>

#include "tests/support/temp_directory.h"

namespace vitsnna::train {
namespace {

constexpr index_t kMiB = index_t{1} << 20;

TEST(MemoryBudget, GrantsUpToTheLimitAndThenNoMore) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.take(60));
  EXPECT_TRUE(budget.take(40));
  EXPECT_FALSE(budget.take(1));
  MemoryBudget refused_once(100);
  EXPECT_FALSE(refused_once.take(101));
  EXPECT_FALSE(refused_once.take(1));
}

TEST(MemoryBudget, LeavesAQuarterOfWhatWasFreeWhoeverTookTheRest) {
  index_t free = 4000 * kMiB;
  MemoryBudget budget(0, [&] { return free; });
  for (int k = 0; k < 300; ++k, free -= 10 * kMiB) ASSERT_TRUE(budget.take(10 * kMiB)) << k;
  int more = 0;
  for (; budget.take(10 * kMiB); ++more) free -= 10 * kMiB;
  EXPECT_LE(more, 8);  // it is not asked each time
  free = 4000 * kMiB;
  EXPECT_FALSE(budget.take(1));  // what was full stays full

  free = 4000 * kMiB;
  MemoryBudget beside_others(0, [&] { return free; });
  EXPECT_TRUE(beside_others.take(100 * kMiB));
  free = 999 * kMiB;
  EXPECT_FALSE(beside_others.take(100 * kMiB));
}

TEST(MemoryBudget, WhereNothingIsKnownThereIsNoLimit) {
  MemoryBudget budget(0, [] { return std::optional<index_t>(); });
  EXPECT_TRUE(budget.take(1 << 30));
  EXPECT_TRUE(budget.take(1 << 30));
}

class AvailableMemory : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& content) {
    const auto path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    test::write_bytes(path, content);
  }
  test::TempDirectory root_;
};

TEST_F(AvailableMemory, IsWhatTheMachineHas) {
  EXPECT_FALSE(available_memory(root_.path()));
  put("proc/meminfo", "MemTotal:  9000 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n");
  EXPECT_EQ(available_memory(root_.path()), 2 * kMiB);
  put("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(available_memory(root_.path()), 2 * kMiB);
}

TEST_F(AvailableMemory, IsLessInAControlGroup) {
  put("proc/meminfo", "MemAvailable: 1000000 kB\n");
  put("proc/self/cgroup", "0::/job/step\n");
  put("sys/fs/cgroup/job/step/memory.max", "max\n");
  put("sys/fs/cgroup/job/step/memory.current", "5\n");
  EXPECT_EQ(available_memory(root_.path()), 1000000 * 1024);
  put("sys/fs/cgroup/job/memory.max", "1000000\n");  // of the group above
  put("sys/fs/cgroup/job/memory.current", "900000\n");
  EXPECT_EQ(available_memory(root_.path()), 100000);
  put("sys/fs/cgroup/job/memory.stat", "anon 1\nactive_file 20000\ninactive_file 30000\n");
  EXPECT_EQ(available_memory(root_.path()), 150000);
  put("sys/fs/cgroup/job/memory.current", "2000000\n");
  EXPECT_EQ(available_memory(root_.path()), 0);
}

TEST_F(AvailableMemory, IsLessInAControlGroupOfTheFirstVersion) {
  put("proc/meminfo", "MemAvailable: 1000000 kB\n");
  put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/y\n");
  // In a container the group's own folder is the mounted one.
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "700000\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "300000\n");
  put("sys/fs/cgroup/memory/memory.stat", "total_active_file 1000\ntotal_inactive_file 2000\n");
  EXPECT_EQ(available_memory(root_.path()), 403000);
}

TEST(AvailableMemoryHere, IsKnownAndNotNothing) {
  if (!std::filesystem::exists("/proc/meminfo")) GTEST_SKIP() << "no /proc/meminfo";
  EXPECT_GT(available_memory().value_or(0), kMiB);
}

}  // namespace
}  // namespace vitsnna::train
