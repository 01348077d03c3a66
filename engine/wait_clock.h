// How long a thread has been waiting for a device, for another thread that watches it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace vitsnna::engine {

class WaitClock {
 public:
  /// A wait, however it ends.
  class Scope {
   public:
    explicit Scope(WaitClock& clock) : clock_(clock) { clock_.since_ = now(); }
    ~Scope() { clock_.since_ = 0; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    WaitClock& clock_;
  };

  /// Of the wait that goes on; 0 where there is none.
  double seconds() const {
    const auto since = since_.load();
    return since == 0 ? 0. : static_cast<double>(now() - since) * 1e-9;
  }

 private:
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  std::atomic<std::int64_t> since_{0};
};

}  // namespace vitsnna::engine
