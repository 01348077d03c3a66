// The part of the CUDA language that kernels use (kernels/cuda/device.h lists it), on the host.
#pragma once

#include <math.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/error.h"
#include "tests/simt/block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

// NOLINTBEGIN(bugprone-reserved-identifier): the names are CUDA's.
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern constinit thread_local uint3 threadIdx, blockIdx;
extern constinit thread_local dim3 blockDim, gridDim;

#define VITSNNA_SIMT_MIN_MAX(T)                       \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
VITSNNA_SIMT_MIN_MAX(int)
VITSNNA_SIMT_MIN_MAX(unsigned)
VITSNNA_SIMT_MIN_MAX(long)
VITSNNA_SIMT_MIN_MAX(unsigned long)
VITSNNA_SIMT_MIN_MAX(long long)
VITSNNA_SIMT_MIN_MAX(unsigned long long)
#undef VITSNNA_SIMT_MIN_MAX

template <class T>
T __ldg(const T* source) {
  return *source;
}

inline float atomicAdd(float* target, float value) {
  return std::atomic_ref<float>(*target).fetch_add(value, std::memory_order_relaxed);
}

inline void __syncthreads(vitsnna::simt::Location where = vitsnna::simt::Location::current()) {
  vitsnna::simt::this_block().block_barrier(0, where);
}
inline int __syncthreads_or(int value,
                            vitsnna::simt::Location where = vitsnna::simt::Location::current()) {
  return vitsnna::simt::this_block().block_barrier(value != 0, where);
}

namespace vitsnna::simt {

/// Kernels use whole warps only: lanes that do not take part could not be told from missing ones.
inline void check_mask(const char* what, unsigned mask) {
  if (mask != 0xffffffffu) {
    throw Error(std::string(what) + ": lane mask " + std::to_string(mask) + ", all lanes wanted");
  }
}

/// A shuffle's value in and out, and the lane whose value it takes.
struct Shuffle {
  std::uint64_t value = 0, result = 0;
  int from = 0;
};
inline void perform_shuffle(Block&, void* const* operands) {
  for (int lane = 0; lane < 32; ++lane) {
    Shuffle& mine = *static_cast<Shuffle*>(operands[lane]);
    mine.result = static_cast<const Shuffle*>(operands[mine.from])->value;
  }
}
template <class T>
T shuffle(Operation operation, const char* name, unsigned mask, T value, int from, int width,
          Location where) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  check_mask(name, mask);
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    throw Error(std::string(name) + ": width " + std::to_string(width) +
                ", a power of 2 up to 32 wanted");
  }
  Shuffle mine;
  mine.from = from;
  std::memcpy(&mine.value, &value, sizeof(T));
  this_block().warp_operation(operation, &mine, perform_shuffle, where);
  std::memcpy(&value, &mine.result, sizeof(T));
  return value;
}

}  // namespace vitsnna::simt

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       vitsnna::simt::Location where = vitsnna::simt::Location::current()) {
  vitsnna::simt::check_mask("__syncwarp", mask);
  vitsnna::simt::this_block().warp_operation(vitsnna::simt::Operation::warp_sync, nullptr, nullptr,
                                             where);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              vitsnna::simt::Location where = vitsnna::simt::Location::current()) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int from = (lane & ~(width - 1)) + (source & (width - 1));
  return vitsnna::simt::shuffle(vitsnna::simt::Operation::shuffle, "__shfl_sync", mask, value, from,
                                width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  vitsnna::simt::Location where = vitsnna::simt::Location::current()) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int other = lane ^ lane_mask, end = (lane & ~(width - 1)) + width;
  return vitsnna::simt::shuffle(vitsnna::simt::Operation::shuffle_xor, "__shfl_xor_sync", mask,
                                value, other < end && other >= 0 ? other : lane, width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   vitsnna::simt::Location where = vitsnna::simt::Location::current()) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int other = lane + static_cast<int>(delta), end = (lane & ~(width - 1)) + width;
  return vitsnna::simt::shuffle(vitsnna::simt::Operation::shuffle_down, "__shfl_down_sync", mask,
                                value, other < end ? other : lane, width, where);
}
// NOLINTEND(bugprone-reserved-identifier)
