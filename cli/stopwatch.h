// Seconds of wall-clock time, for the manifest's stages.
#pragma once

#include <chrono>

namespace vitsnna::cli {

class Stopwatch {
 public:
  /// Since construction or the last lap().
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }
  double lap() {
    const double passed = seconds();
    started_ = std::chrono::steady_clock::now();
    return passed;
  }

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace vitsnna::cli
