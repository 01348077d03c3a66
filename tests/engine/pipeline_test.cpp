// Work ahead of a loop and behind it: in order, one item on either side, errors where they belong.
#include "engine/pipeline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/support/expect_error.h"

namespace vitsnna::engine {
namespace {

TEST(Lane, DoesTasksInTheirOrderOnOneOtherThread) {
  std::vector<int> done;
  std::vector<std::thread::id> threads;
  {
    Lane lane;
    for (int k = 0; k < 100; ++k) {
      lane.start([&, k] {
        done.push_back(k);
        threads.push_back(std::this_thread::get_id());
      });
    }
    lane.finish();
  }
  ASSERT_EQ(done.size(), 100u);
  for (int k = 0; k < 100; ++k) EXPECT_EQ(done[static_cast<std::size_t>(k)], k);
  for (const std::thread::id& id : threads) EXPECT_EQ(id, threads.front());
  EXPECT_NE(threads.front(), std::this_thread::get_id());
}

/// The caller goes on while a task runs: neither could finish without the other.
TEST(Lane, RunsBesideItsCaller) {
  std::promise<void> from_caller, from_task;
  Lane lane;
  lane.start([&] {
    from_task.set_value();
    from_caller.get_future().wait();
  });
  from_task.get_future().wait();
  from_caller.set_value();
  lane.finish();
}

TEST(Lane, WhatATaskThrewStopsTheNextAndIsThrownOnce) {
  Lane lane;
  bool ran = false;
  lane.start([] { throw Error("the first"); });
  EXPECT_ERROR(lane.start([&] { ran = true; }), "the first");
  EXPECT_FALSE(ran);
  EXPECT_NO_THROW(lane.finish());
  lane.start([&] { ran = true; });
  lane.finish();
  EXPECT_TRUE(ran);
  lane.start([] { throw Error("the last"); });
  EXPECT_ERROR(lane.finish(), "the last");
}

TEST(Lane, EndsWithATaskThatRunsAndDropsWhatItThrew) {
  std::atomic<bool> done = false;
  {
    std::promise<void> started;
    Lane lane;
    lane.start([&] {
      started.set_value();
      std::this_thread::yield();
      done = true;
      throw Error("nobody asks");
    });
    started.get_future().wait();
  }
  EXPECT_TRUE(done);
  const Lane unused;
}

TEST(ReadAhead, GivesEveryItemInOrderAndIsNeverMoreThanOneAhead) {
  std::atomic<std::size_t> read = 0;
  ReadAhead<std::string> ahead(20, [&](std::size_t k) {
    ++read;
    return std::to_string(k);
  });
  EXPECT_EQ(read, 0u);
  for (std::size_t k = 0; k < 20; ++k) {
    EXPECT_EQ(ahead.next(), std::to_string(k));
    EXPECT_GE(read, k + 1);
    EXPECT_LE(read, k + 2);
  }
  EXPECT_EQ(read, 20u);
}

/// An item is read while the one before is in use: this one's reading waits for that use.
TEST(ReadAhead, ReadsBesideTheUseOfTheItemBefore) {
  std::promise<void> in_use, reading;
  ReadAhead<int> ahead(2, [&](std::size_t k) {
    if (k == 1) {
      reading.set_value();
      in_use.get_future().wait();
    }
    return static_cast<int>(k);
  });
  EXPECT_EQ(ahead.next(), 0);
  reading.get_future().wait();
  in_use.set_value();
  EXPECT_EQ(ahead.next(), 1);
}

TEST(ReadAhead, AnErrorComesInItsItemsTurn) {
  for (const std::size_t bad : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
    ReadAhead<int> ahead(5, [&](std::size_t k) {
      if (k == bad) throw Error("item " + std::to_string(k));
      return static_cast<int>(k);
    });
    for (std::size_t k = 0; k < bad; ++k) EXPECT_EQ(ahead.next(), static_cast<int>(k));
    EXPECT_ERROR(ahead.next(), "item " + std::to_string(bad));
  }
}

TEST(ReadAhead, MayBeLeftWhileItReads) {
  std::atomic<int> read = 0;
  for (int round = 0; round < 50; ++round) {
    ReadAhead<std::vector<int>> ahead(10, [&](std::size_t k) {
      ++read;
      return std::vector<int>(100, static_cast<int>(k));
    });
    EXPECT_EQ(ahead.next().front(), 0);
  }
  EXPECT_GE(read, 50);
}

}  // namespace
}  // namespace vitsnna::engine
