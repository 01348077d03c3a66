// Neighbouring elements of global memory moved in accesses of up to 16 bytes, and when they may be.
#pragma once

#include <cstdint>

#include "kernels/cuda/ptx.h"

namespace vitsnna::kernels::cuda {

/// values = source[0 .. count); count is 1, 4 or 8, and the source aligned for min(16, count
/// elements) bytes.
template <int count>
__device__ __forceinline__ void load_floats(const float* source, float (&values)[count]) {
  if constexpr (count == 1) {
    values[0] = *source;
  } else {
#pragma unroll
    for (int k = 0; k < count; k += 4) {
      const float4 four = *reinterpret_cast<const float4*>(source + k);
      values[k] = four.x;
      values[k + 1] = four.y;
      values[k + 2] = four.z;
      values[k + 3] = four.w;
    }
  }
}

/// The two bf16 of a word, the lower half first.
__device__ __forceinline__ void unpack(unsigned word, float& low, float& high) {
  low = to_float(bf16{static_cast<std::uint16_t>(word & 0xffffu)});
  high = to_float(bf16{static_cast<std::uint16_t>(word >> 16)});
}

template <int count>
__device__ __forceinline__ void load_floats(const bf16* source, float (&values)[count]) {
  if constexpr (count == 1) {
    values[0] = to_float(*source);
  } else if constexpr (count == 4) {
    const uint2 words = *reinterpret_cast<const uint2*>(source);
    unpack(words.x, values[0], values[1]);
    unpack(words.y, values[2], values[3]);
  } else {
    static_assert(count == 8);
    const uint4 words = *reinterpret_cast<const uint4*>(source);
    unpack(words.x, values[0], values[1]);
    unpack(words.y, values[2], values[3]);
    unpack(words.z, values[4], values[5]);
    unpack(words.w, values[6], values[7]);
  }
}

template <int count>
__device__ __forceinline__ void store_floats(float* destination, const float (&values)[count]) {
  if constexpr (count == 1) {
    *destination = values[0];
  } else {
#pragma unroll
    for (int k = 0; k < count; k += 4) {
      *reinterpret_cast<float4*>(destination + k) =
          make_float4(values[k], values[k + 1], values[k + 2], values[k + 3]);
    }
  }
}
template <int count>
__device__ __forceinline__ void store_floats(bf16* destination, const float (&values)[count]) {
  if constexpr (count == 1) {
    *destination = to_bf16(values[0]);
  } else if constexpr (count == 4) {
    *reinterpret_cast<uint2*>(destination) =
        make_uint2(ptx::pack_bf16(values[0], values[1]), ptx::pack_bf16(values[2], values[3]));
  } else {
    static_assert(count == 8);
    *reinterpret_cast<uint4*>(destination) =
        make_uint4(ptx::pack_bf16(values[0], values[1]), ptx::pack_bf16(values[2], values[3]),
                   ptx::pack_bf16(values[4], values[5]), ptx::pack_bf16(values[6], values[7]));
  }
}

/// Whether `pointer` and every stride, in elements of `size` bytes, allow `count` at once.
inline bool aligned_for(int count, index_t size, const void* pointer, index_t item_stride = 0,
                        index_t row_stride = 0) {
  const index_t bytes = count * size < 16 ? count * size : 16;
  return reinterpret_cast<std::uintptr_t>(pointer) % static_cast<std::uintptr_t>(bytes) == 0 &&
         item_stride * size % bytes == 0 && row_stride * size % bytes == 0;
}
inline bool aligned_for(int count, const ConstMatrix& matrix) {
  return aligned_for(count, size_of(matrix.dtype), matrix.data, matrix.item_stride,
                     matrix.row_stride);
}

}  // namespace vitsnna::kernels::cuda
