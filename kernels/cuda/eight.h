// Eight consecutive elements of an operand's row as fp32 registers: what one lane takes of a head
// in the kernels that are bound by memory. 16-byte loads where the operand allows them.
#pragma once

#include "kernels/cuda/tile.h"

namespace vitsnna::kernels::cuda {

/// Eight elements as loaded: registers only, converted where they are used so that many loads can
/// be under way at once.
template <class Element>
struct Eight;

template <>
struct Eight<bf16> {
  uint4 words;

  static __device__ __forceinline__ Eight zero() { return {make_uint4(0, 0, 0, 0)}; }
  static __device__ __forceinline__ Eight load(const bf16* source, bool aligned) {
    if (aligned) return {*reinterpret_cast<const uint4*>(source)};
    const auto pair = [&](int k) {
      return static_cast<unsigned>(source[k].bits) | static_cast<unsigned>(source[k + 1].bits)
                                                         << 16;
    };
    return {make_uint4(pair(0), pair(2), pair(4), pair(6))};
  }
  __device__ __forceinline__ void to(float (&values)[8]) const {
    const unsigned word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      values[2 * k] = __builtin_bit_cast(float, word[k] << 16);
      values[2 * k + 1] = __builtin_bit_cast(float, word[k] & 0xffff0000u);
    }
  }
};

template <>
struct Eight<float> {
  float4 low, high;

  static __device__ __forceinline__ Eight zero() {
    return {make_float4(0.f, 0.f, 0.f, 0.f), make_float4(0.f, 0.f, 0.f, 0.f)};
  }
  static __device__ __forceinline__ Eight load(const float* source, bool aligned) {
    if (aligned) {
      return {reinterpret_cast<const float4*>(source)[0],
              reinterpret_cast<const float4*>(source)[1]};
    }
    return {make_float4(source[0], source[1], source[2], source[3]),
            make_float4(source[4], source[5], source[6], source[7])};
  }
  __device__ __forceinline__ void to(float (&values)[8]) const {
    values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
    values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
  }
};

/// Writes eight fp32 as elements (bf16 rounded to nearest even).
__device__ __forceinline__ void store_eight(float* destination, const float (&values)[8],
                                            bool aligned) {
  if (aligned) {
    auto* vector = reinterpret_cast<float4*>(destination);
    vector[0] = make_float4(values[0], values[1], values[2], values[3]);
    vector[1] = make_float4(values[4], values[5], values[6], values[7]);
    return;
  }
#pragma unroll
  for (int k = 0; k < 8; ++k) destination[k] = values[k];
}
__device__ __forceinline__ void store_eight(bf16* destination, const float (&values)[8],
                                            bool aligned) {
  if (aligned) {
    const auto pair = [&](int k) { return ptx::pack_bf16(values[k], values[k + 1]); };
    *reinterpret_cast<uint4*>(destination) = make_uint4(pair(0), pair(2), pair(4), pair(6));
    return;
  }
#pragma unroll
  for (int k = 0; k < 8; ++k) destination[k] = to_bf16(values[k]);
}

/// a . b over eight elements.
__device__ __forceinline__ float dot_eight(const float (&a)[8], const float (&b)[8]) {
  float sum = 0.f;
#pragma unroll
  for (int k = 0; k < 8; ++k) sum = fmaf(a[k], b[k], sum);
  return sum;
}

}  // namespace vitsnna::kernels::cuda
