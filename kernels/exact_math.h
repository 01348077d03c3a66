// Products that are rounded before anything is added to them. Device compilers otherwise contract
// a b + c to a fused multiply-add, and results that host and device must share would differ.
#pragma once

#include "kernels/host_device.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

VITSNNA_HOST_DEVICE float product(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
VITSNNA_HOST_DEVICE double product(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

/// The greatest integer that is not above x.
VITSNNA_HOST_DEVICE index_t floor_of(double x) {
  const auto toward_zero = static_cast<index_t>(x);
  return static_cast<double>(toward_zero) > x ? toward_zero - 1 : toward_zero;
}

}  // namespace vitsnna::kernels
