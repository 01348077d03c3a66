// A large product on the CPU or on another device, by the wall clock.
#include "bench/device_peaks.h"

#include <chrono>
#include <functional>

#include "bench/machine_peak.h"
#include "bench/op_bench.h"

namespace vitsnna::bench {
namespace {

using kernels::DType;

/// Seconds of work, waiting for the device before and after.
class WallClock : public DeviceClock {
 public:
  explicit WallClock(engine::Queue& queue) : queue_(queue) {}
  double seconds(const std::function<void()>& work) override {
    queue_.synchronize();
    const auto start = std::chrono::steady_clock::now();
    work();
    queue_.synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  engine::Queue& queue_;
};

}  // namespace

std::array<double, 2> peaks_of(engine::Queue& queue) {
  if (queue.device().kind == engine::Device::Kind::cpu) {
    return {peak_flops(DType::f32, queue.num_threads()),
            peak_flops(DType::bf16, queue.num_threads())};
  }
  WallClock clock(queue);
  Target target;
  target.backend = &queue.backend();
  target.queue = queue.raw();
  target.clock = &clock;
  return {large_product(target, DType::f32, 8192), large_product(target, DType::bf16, 8192)};
}

double used_bytes(engine::Queue& queue) {
  if (!queue.backend().memory_info) return 0;
  engine::index_t free_bytes = 0, total_bytes = 0;
  queue.backend().memory_info(free_bytes, total_bytes);
  return static_cast<double>(total_bytes - free_bytes);
}

}  // namespace vitsnna::bench
