// Every op of the CUDA backend at the sizes of ViT-S/8 (SNNA, five samples), timed by CUDA events
// around graphs of calls. Needs a driver when it runs; exit status 77 where there is no GPU.
#include "bench/cuda_target.h"

int main(int argc, char** argv) {
  using namespace vitsnna::bench;
  return with_gpu("cuda_ops",
                  [&](Target& target) { return run_benchmarks(argc, argv, target, register_ops); });
}
