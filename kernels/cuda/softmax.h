// The scale of attention scores and the exponential of the softmax, in base 2:
// exp(scale s - max) = 2^(scale log2(e) s - max log2(e)), one multiply-add and one ex2.
#pragma once

#include <cmath>

#include "kernels/cuda/ptx.h"

namespace vitsnna::kernels::cuda {

constexpr float log2_e = 1.44269504f;
constexpr float ln_2 = 0.69314718f;

/// head_dim^-1/2, and the same for exponentials in base 2
inline float softmax_scale(index_t head_dim) {
  return 1.f / std::sqrt(static_cast<float>(head_dim));
}
inline float softmax_scale_log2e(index_t head_dim) { return softmax_scale(head_dim) * log2_e; }

/// 2^x as good as operands of type Element deserve: within 2 ulp in any case, exp2f for fp32.
template <class Element>
__device__ __forceinline__ float softmax_exp2(float x) {
  if constexpr (sizeof(Element) == 2) {
    return ptx::exp2_approximate(x);
  } else {
    return exp2f(x);
  }
}

}  // namespace vitsnna::kernels::cuda
