// Every op benchmark at tiny sizes, as a test that the benchmarks themselves run: on the CPU's
// table or, where built for it, on the CUDA kernels in the host's SIMT layer. No figure counts.
#include <chrono>

#include "bench/op_bench.h"
#ifdef VITSNNA_SMOKE_SIMT
#include "kernels/cuda/backend.h"
#endif

namespace vitsnna::bench {
namespace {

class WallClock : public DeviceClock {
 public:
  double seconds(const std::function<void()>& work) override {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

int smoke(int argc, char** argv) {
  WallClock clock;
  Target target;
#ifdef VITSNNA_SMOKE_SIMT
  target.backend = &cuda::backend();
#else
  target.backend = &cpu_backend();
#endif
  if (target.backend->open) target.backend->open(target.queue, 0);
  target.sizes = smoke_sizes();
  target.clock = &clock;
  target.calls_at_once = 2;
  target.cold_bytes = 1;
  target.iterations = 1;
  target.peak = [&](Bound bound) {
    return large_product(target, bound == Bound::products_bf16 ? DType::bf16 : DType::f32, 16);
  };
  const int status = run_benchmarks(argc, argv, target, register_ops);
  if (target.backend->close) target.backend->close(target.queue);
  return status;
}

}  // namespace
}  // namespace vitsnna::bench

int main(int argc, char** argv) { return vitsnna::bench::smoke(argc, argv); }
