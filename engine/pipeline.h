// Work ahead of a loop and behind it: while the loop computes one item, the next is made ready and
// the last is put away, each on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace vitsnna::engine {

/// A thread that does one task at a time, in the order given.
class Lane {
 public:
  Lane() = default;
  /// Waits for the task that runs. What it threw, and nobody asked for, is dropped.
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  /// Waits for the task before, then hands this one over. Throws what the task before threw,
  /// instead.
  void start(std::function<void()> task);
  /// Waits for the task that runs. Throws what it threw, once.
  void finish();

 private:
  void run();
  void wait(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> task_;  ///< handed over, not begun
  bool busy_ = false;           ///< from its handing over to its end, its captures destroyed
  std::exception_ptr error_;
  bool ending_ = false;
  std::thread thread_;  ///< from the first task on
};

/// Items 0, 1, ... count - 1 in order, each read while the one before is used. At most one is
/// ahead.
template <class Item>
class ReadAhead {
 public:
  ReadAhead(std::size_t count, std::function<Item(std::size_t)> read)
      : count_(count), read_(std::move(read)) {}

  /// The next item; throws what reading it threw. The first is read here and now.
  Item next() {
    lane_.finish();
    Item item = ahead_ ? std::move(*ahead_) : read_(next_);
    ahead_.reset();
    if (++next_ < count_) lane_.start([this] { ahead_.emplace(read_(next_)); });
    return item;
  }

 private:
  std::size_t count_;
  std::function<Item(std::size_t)> read_;
  std::size_t next_ = 0;
  std::optional<Item> ahead_;
  Lane lane_;  ///< last: its thread ends before what it writes to
};

}  // namespace vitsnna::engine
