// L2 norms of all tensors' gradients in two launches: sums of squares of every tensor's part of
// every chunk, then a warp a tensor adds up its parts.
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/parameter_chunks.h"

namespace vitsnna::kernels::cuda {
namespace {

/// Going through the block either the chunk or the tensor advances, so that their sum is another
/// one for every part.
__device__ __forceinline__ index_t place_of_part(index_t chunk, index_t segment) {
  return chunk + segment;
}

__global__ void __launch_bounds__(kParameterThreads)
    squares_kernel(ParameterBlock block, const float* gradients, float* parts) {
  SharedMemory memory;
  const Shared<float> partial = memory.take<float>(kParameterThreads / kWarpSize);
  for_segments(block, [&](index_t s, index_t first, index_t end) {
    float sum = 0.f;
#pragma unroll 4
    for (index_t i = first + threadIdx.x; i < end; i += kParameterThreads) {
      sum = fmaf(gradients[i], gradients[i], sum);
    }
    sum = block_sum(sum, partial);
    if (threadIdx.x == 0) parts[place_of_part(blockIdx.x, s)] = sum;
  });
}

__global__ void __launch_bounds__(kParameterThreads)
    norms_kernel(GradientNorms a, const float* parts) {
  const index_t s = static_cast<index_t>(blockIdx.x) * (kParameterThreads / kWarpSize) +
                    static_cast<index_t>(warp_index());
  if (s >= a.block.segments) return;
  const ParameterSegment segment = a.block.table[s];
  float sum = 0.f;
  if (segment.count > 0) {
    const index_t last = (segment.offset + segment.count - 1) / kParameterChunk;
    for (index_t chunk = segment.offset / kParameterChunk + lane_index(); chunk <= last;
         chunk += kWarpSize) {
      sum += parts[place_of_part(chunk, s)];
    }
  }
  const float norm = sqrtf(warp_sum(sum));
  if (lane_index() != 0) return;
  a.norms[s] = norm;
  constexpr float kLargest = 3.402823466e38f;
  if (!(norm <= kLargest)) *a.non_finite = 1.f;
  if (moves(segment, *a.settings)) a.steps[s] += 1.f;
}

}  // namespace

index_t gradient_norms_scratch(const Queue&, const GradientNorms& args) {
  return (ceil_div(args.block.elements, kParameterChunk) + args.block.segments) * 4;
}

void gradient_norms(Queue& queue, const GradientNorms& args) {
  constexpr const char* name = "gradient_norms";
  constexpr int warps = kParameterThreads / kWarpSize;
  auto* parts = static_cast<float*>(queue.scratch);
  launch<squares_kernel>(name, queue,
                         parameter_shape(name, args.block.elements, shared_bytes<float>(warps)),
                         args.block, args.gradients, parts);
  const LaunchShape shape{dim3(grid_extent(name, args.block.segments, warps)), kParameterThreads,
                          0};
  launch<norms_kernel>(name, queue, shape, args, static_cast<const float*>(parts));
}

}  // namespace vitsnna::kernels::cuda
