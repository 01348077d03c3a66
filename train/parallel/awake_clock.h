// Time that passes while this process runs: a job that is suspended, or whose machine sleeps, is
// not late when it goes on.
#pragma once

#include <algorithm>
#include <chrono>

namespace vitsnna::train {

class AwakeClock {
 public:
  /// Since the clock was made, as far as it has been looked at: of a gap between two looks that is
  /// longer than a second, a second counts.
  double seconds() {
    const Clock::time_point now = Clock::now();
    seconds_ += std::min(std::chrono::duration<double>(now - looked_).count(), 1.);
    looked_ = now;
    return seconds_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point looked_ = Clock::now();
  double seconds_ = 0;
};

}  // namespace vitsnna::train
