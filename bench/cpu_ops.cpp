// Every op of the CPU backend at the sizes of ViT-S/8 on 224x224 (785 tokens) and 360x640 (3601).
#include <omp.h>

#include "bench/machine_peak.h"
#include "bench/op_bench.h"

int main(int argc, char** argv) {
  using namespace vitsnna::bench;
  const int threads = omp_get_max_threads();
  Target target;
  target.backend = &cpu_backend();
  target.queue.num_threads = threads;
  target.sizes = processor_sizes();
  // One thread is timed in CPU time, which neighbours on the machine disturb less.
  target.wall_time = threads > 1;
  target.peak = [threads](Bound bound) {
    static const double peaks[] = {peak_flops(DType::f32, threads),
                                   peak_flops(DType::bf16, threads), peak_bytes(threads)};
    return peaks[static_cast<int>(bound)];
  };
  benchmark::AddCustomContext("threads", std::to_string(threads));
  return run_benchmarks(argc, argv, target, register_ops);
}
