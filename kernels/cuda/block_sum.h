// The sum over a block's threads.
#pragma once

#include "kernels/cuda/shared.h"

namespace vitsnna::kernels::cuda {

/// Sum of `value` over all threads, by a fixed tree; every thread gets it. `partial` has room for
/// one number a warp. Every thread of the block takes part.
__device__ __forceinline__ float block_sum(float value, Shared<float> partial) {
  const float sum = warp_sum(value);
  __syncthreads();  // an earlier sum has been read
  if (lane_index() == 0) partial[warp_index()] = sum;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  float total = 0.f;
  for (int warp = 0; warp < warps; ++warp) total += partial[warp];
  return total;
}

}  // namespace vitsnna::kernels::cuda
