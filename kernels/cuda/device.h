// What every .cu file includes first: the CUDA language where nvcc compiles it, or the host's SIMT
// layer (tests/simt) where the host's compiler does, so that one source is both the kernel and its
// test. Kernels use of the language only what is listed here:
//   __global__ __device__ __host__ __forceinline__ __restrict__ __launch_bounds__
//   threadIdx blockIdx blockDim gridDim (.x .y .z), dim3, float2 float4 uint2 uint4 and make_*
//   __syncthreads() __syncwarp() __shfl_sync() __shfl_xor_sync() __shfl_down_sync()
//   __syncthreads_or() atomicAdd(float*, float) __ldg()
//   the C library's fmaf sqrtf expf exp2f logf erff fminf fmaxf fabsf rintf, and min/max of ints
// and, of this folder, shared memory by shared.h and everything that is PTX by ptx.h. Shared memory
// is always dynamic (no __shared__ variable), so that the layer can poison and watch it.
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "tests/simt/device.h"
#endif

#include "kernels/bf16.h"
#include "kernels/types.h"

namespace vitsnna::kernels::cuda {

constexpr int kWarpSize = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

/// Position of a thread in its warp, and of its warp in the block.
__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarpSize; }

/// An operand's element as fp32, and an fp32 as the operand's element (round to nearest even).
__device__ __forceinline__ float load_float(const float* source) { return *source; }
__device__ __forceinline__ float load_float(const bf16* source) { return to_float(*source); }
__device__ __forceinline__ void store_float(float* destination, float value) {
  *destination = value;
}
__device__ __forceinline__ void store_float(bf16* destination, float value) {
  *destination = to_bf16(value);
}

/// Sum and maximum over the lanes of a warp; every lane gets the result, by a fixed tree.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
  }
  return value;
}

}  // namespace vitsnna::kernels::cuda
