// Least and greatest of many values: a block's pair, and joining the pairs of all blocks.
#pragma once

#include "kernels/cuda/shared.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// Threads of a block that calls block_extremes(), and its shared memory.
constexpr int kExtremesThreads = 256;
constexpr int kExtremesShared = shared_bytes<float2>(kExtremesThreads / kWarpSize);
/// Most blocks whose pairs are joined.
constexpr int kMostExtremes = 1024;

/// {least, greatest} as x and y. fminf and fmaxf pass a NaN over.
__device__ __forceinline__ float2 no_extremes() {
  const float infinity = __builtin_bit_cast(float, 0x7f800000u);
  return make_float2(infinity, -infinity);
}
__device__ __forceinline__ void see(float2& extremes, float value) {
  extremes.x = fminf(extremes.x, value);
  extremes.y = fmaxf(extremes.y, value);
}

/// The extremes of the block's threads; warp 0 has the result. To be called once in a kernel.
__device__ __forceinline__ float2 block_extremes(float2 mine) {
  SharedMemory memory;
  const Shared<float2> warps = memory.take<float2>(kExtremesThreads / kWarpSize);
  const float2 warp = make_float2(-warp_max(-mine.x), warp_max(mine.y));
  if (lane_index() == 0) warps[warp_index()] = warp;
  __syncthreads();
  float2 all = no_extremes();
  if (warp_index() == 0) {
    for (int k = 0; k < kExtremesThreads / kWarpSize; ++k) {
      const float2 one = warps[k];
      all = make_float2(fminf(all.x, one.x), fmaxf(all.y, one.y));
    }
  }
  return all;
}

/// extremes[0], extremes[1] = least and greatest of `count` <= kMostExtremes blocks' pairs.
void join_extremes(const char* name, Queue& queue, const float2* blocks, int count,
                   float* extremes);

}  // namespace vitsnna::kernels::cuda
