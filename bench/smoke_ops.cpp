// Every op benchmark at tiny sizes, as a test that the benchmarks themselves run: on the CPU's
// table or, where built for it, on the CUDA kernels in the host's SIMT layer. No figure counts.
// There, where VITSNNA_SIMT_LAUNCHES names a file, the sizes are a GPU's, nothing is computed, and
// what the launchers asked for is written to it: docs/kernel_launches.tsv.
#include <chrono>
#include <vector>

#include "bench/op_bench.h"
#ifdef VITSNNA_SMOKE_SIMT
#include "kernels/cuda/backend.h"
#include "tests/simt/launch_record.h"
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

#ifdef VITSNNA_SMOKE_SIMT
/// Every op at a GPU's sizes, in every head_dim that kernels are made for.
int note_launches(int argc, char** argv, const Target& like) {
  std::vector<Target> targets;
  for (const index_t head_dim : {32, 64, 96, 128}) {
    targets.push_back(like);
    targets.back().sizes = gpu_sizes();
    targets.back().sizes.head_dim = head_dim;
    targets.back().fill_operands = false;
    targets.back().calls_at_once = 1;
    targets.back().cold_bytes = 0;
    targets.back().peak = [](Bound) { return 1.; };
  }
  return run_benchmarks(argc, argv, targets.back(), [&](Target&) {
    for (Target& target : targets) register_ops(target);
  });
}
#endif

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
#ifdef VITSNNA_SMOKE_SIMT
  if (simt::notes_launches()) return note_launches(argc, argv, target);
#endif
  const int status = run_benchmarks(argc, argv, target, register_ops);
  if (target.backend->close) target.backend->close(target.queue);
  return status;
}

}  // namespace
}  // namespace vitsnna::bench

int main(int argc, char** argv) { return vitsnna::bench::smoke(argc, argv); }
