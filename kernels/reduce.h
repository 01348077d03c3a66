// Reductions of an array to a few numbers that stay on the device.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// extremes[0] = least, extremes[1] = greatest of `elements` >= 1 values; NaNs are passed over.
/// What GaussianNoise::extremes reads, so that a noise level relative to an image needs no host
/// read.
struct MinMax {
  index_t elements = 0;
  const float* input = nullptr;
  float* extremes = nullptr;  ///< (2)
};
inline const char* op_name(const MinMax&) { return "min_max"; }
inline double flops(const MinMax& a) { return 2. * static_cast<double>(a.elements); }
inline double bytes(const MinMax& a) { return 4. * static_cast<double>(a.elements); }

}  // namespace vitsnna::kernels
