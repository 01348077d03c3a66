// How far a run is: a bar on a terminal once it has taken more than a second, else nothing, for the
// line that each finished input prints says it there. Updates and lines may come from two threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>

namespace vitsnna::cli {

class Progress {
 public:
  /// `steps`: how many equal pieces of work there are. Nothing is drawn unless `enabled` and
  /// standard error is a terminal.
  Progress(std::size_t steps, bool enabled);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `fraction` in [0, 1] of piece `step` is done.
  void update(std::size_t step, double fraction);
  /// Takes the bar off the terminal, so that a line can be printed; the next update draws it again.
  void clear();
  /// clear(), and what `lines` prints before another thread may draw.
  void print(const std::function<void()>& lines);

 private:
  using Clock = std::chrono::steady_clock;
  void erase();
  std::size_t steps_;
  bool enabled_;
  std::mutex mutex_;  ///< over the terminal and what follows
  bool drawn_ = false;
  Clock::time_point started_ = Clock::now();
  Clock::time_point last_drawn_ = {};
};

}  // namespace vitsnna::cli
