// The first GPU, timed by CUDA events, with a large product and a large copy as its ceilings.
#include "bench/cuda_target.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <exception>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device_query.h"
#include "kernels/cuda/status.h"

namespace vitsnna::bench {
namespace {

class EventClock : public DeviceClock {
 public:
  explicit EventClock(Queue& queue) : stream_(static_cast<cudaStream_t>(queue.stream)) {
    cuda::check(cudaEventCreate(&begin_), "creating an event");
    cuda::check(cudaEventCreate(&end_), "creating an event");
  }
  ~EventClock() override {
    (void)cudaEventDestroy(begin_);
    (void)cudaEventDestroy(end_);
  }
  double seconds(const std::function<void()>& work) override {
    cuda::check(cudaEventRecord(begin_, stream_), "recording an event");
    work();
    cuda::check(cudaEventRecord(end_, stream_), "recording an event");
    cuda::check(cudaEventSynchronize(end_), "waiting for the GPU");
    float milliseconds = 0;
    cuda::check(cudaEventElapsedTime(&milliseconds, begin_, end_), "reading an event");
    return milliseconds * 1e-3;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// Bytes/s, read plus written, of the driver's own copy of a buffer far larger than the caches.
double large_copy(const Target& target) {
  constexpr index_t bytes = index_t{1} << 30;
  Operands operands(target);
  const auto from = operands.with_scratch(bytes), to = operands.with_scratch(bytes);
  double fastest = 1e30;
  for (int repetition = 0; repetition < 6; ++repetition) {  // the first one warms up
    const double seconds = target.clock->seconds([&] {
      cuda::check(cudaMemcpyAsync(to.scratch, from.scratch, bytes, cudaMemcpyDeviceToDevice,
                                  static_cast<cudaStream_t>(target.queue.stream)),
                  "copying on the GPU");
    });
    if (repetition > 0) fastest = std::min(fastest, seconds);
  }
  return 2. * static_cast<double>(bytes) / fastest;
}

int opened(Queue& queue, const std::string& name, const std::function<int(Target&)>& run) {
  EventClock clock(queue);
  Target target;
  target.backend = &cuda::backend();
  target.queue = queue;
  target.sizes = gpu_sizes();
  target.clock = &clock;
  target.calls_at_once = 10;
  target.cold_bytes = 256e6;  // five times the L2 cache of an H100 or H200
  target.least_seconds = .02;
  target.peak = [&](Bound bound) {
    static const double peaks[] = {large_product(target, DType::f32, 8192),
                                   large_product(target, DType::bf16, 8192), large_copy(target)};
    return peaks[static_cast<int>(bound)];
  };
  benchmark::AddCustomContext("device", name);
  return run(target);
}

}  // namespace

int with_gpu(const char* program, const std::function<int(Target&)>& run) {
  const cuda::VisibleDevices visible = cuda::visible_devices();
  const std::string problem = visible.problem.empty() ? cuda::device_problem(0) : visible.problem;
  if (!problem.empty()) {
    std::fprintf(stderr, "%s: skipped, no GPU: %s\n", program, problem.c_str());
    return kNoGpu;
  }
  int status = 1;
  Queue queue;
  try {
    cuda::backend().open(queue, 0);
    status = opened(queue, visible.names[0], run);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
  }
  if (queue.context) cuda::backend().close(queue);
  return status;
}

}  // namespace vitsnna::bench
