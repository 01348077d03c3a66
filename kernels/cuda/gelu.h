// GELU and its slope on the device, by the error function (SPEC section 1): cuBLASLt's own GELU
// epilogues are the tanh approximation, which is another function.
#pragma once

#include "kernels/cuda/device.h"

namespace vitsnna::kernels::cuda {

/// Phi(t) = (1 + erf(t / sqrt 2)) / 2
__device__ __forceinline__ float normal_distribution(float t) {
  return .5f * (1.f + erff(t * 0.70710678f));
}
/// gelu(t) = t Phi(t)
__device__ __forceinline__ float gelu_of(float t) { return t * normal_distribution(t); }
/// gelu'(t) = Phi(t) + t e^(-t^2 / 2) / sqrt(2 pi)
__device__ __forceinline__ float gelu_derivative_of(float t) {
  return normal_distribution(t) + t * 0.39894228f * expf(-.5f * t * t);
}

}  // namespace vitsnna::kernels::cuda
