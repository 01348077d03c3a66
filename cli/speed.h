// How fast a training run is: images a second, the share of the time that waited for images, and
// the time to go.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "kernels/types.h"

namespace vitsnna::cli {

using kernels::index_t;

class Speed {
 public:
  /// Of a run of `steps` steps of `batch` images, at step `done`.
  Speed(index_t batch, index_t steps, index_t done);

  struct Rates {
    double images_per_second = 0;
    double data_stall = 0;     ///< share of the time
    double seconds_to_go = 0;  ///< at the mean pace since the process began to train
    std::string text() const;  ///< "12.3 images/s  data stall 4%  ETA 1:02:03"
    std::map<std::string, double> values() const;  ///< by the names above
  };
  /// Of the steps since the last call, none where there were none; `stall_seconds` of the whole
  /// run.
  std::optional<Rates> take(index_t done, double stall_seconds);
  /// Runs what is no training: no step is slower for it.
  void leave_out(const std::function<void()>& work);

 private:
  using Clock = std::chrono::steady_clock;
  double batch_;
  index_t steps_, first_, done_;
  double stall_ = 0;
  Clock::time_point began_ = Clock::now(), since_ = Clock::now();
};

}  // namespace vitsnna::cli
