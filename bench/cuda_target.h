// The first GPU as a target of benchmarks: a queue, CUDA events as its clock, its ceilings.
#pragma once

#include <functional>
#include <string>

#include "bench/op_bench.h"

namespace vitsnna::bench {

/// Exit status of a program that had nothing to measure on.
inline constexpr int kNoGpu = 77;

/// Opens the first GPU, calls `run` and closes it; `run`'s result is the exit status. Without a GPU
/// one line on standard error, and kNoGpu; 1 after an error.
int with_gpu(const char* program, const std::function<int(Target&)>& run);

}  // namespace vitsnna::bench
