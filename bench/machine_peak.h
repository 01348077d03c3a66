// What this machine can reach, measured in the run that quotes it.
#pragma once

#include "kernels/types.h"

namespace vitsnna::bench {

/// FLOP/s of the best of five 3072-cube oneDNN products on `threads` threads.
double peak_flops(kernels::DType dtype, int threads);

/// Bytes/s, read plus written, of copying a buffer far larger than the caches.
double peak_bytes(int threads);

}  // namespace vitsnna::bench
