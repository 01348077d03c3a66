// A block of parameters divided evenly among thread blocks, whatever the sizes of its tensors: one
// launch for all of them.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/optimizer.h"

namespace vitsnna::kernels::cuda {

constexpr int kParameterThreads = 256;
constexpr index_t kParameterChunk = 8192;  ///< floats of a thread block

inline LaunchShape parameter_shape(const char* name, index_t elements, int shared = 0) {
  return {dim3(grid_extent(name, elements, kParameterChunk)), kParameterThreads, shared};
}

/// Calls body(segment, first, end) for every tensor that reaches into this thread block's chunk, in
/// order: elements first .. end - 1 of the block of parameters are both the tensor's and the
/// chunk's. All threads see the same calls.
template <class Body>
__device__ __forceinline__ void for_segments(const ParameterBlock& block, const Body& body) {
  const index_t start = static_cast<index_t>(blockIdx.x) * kParameterChunk;
  const index_t stop = start + kParameterChunk;
  index_t low = 0, high = block.segments;
  while (low < high) {  // the first tensor that ends behind `start`
    const index_t middle = (low + high) / 2;
    if (block.table[middle].offset + block.table[middle].count <= start) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  for (index_t s = low; s < block.segments && block.table[s].offset < stop; ++s) {
    const index_t offset = block.table[s].offset, behind = offset + block.table[s].count;
    body(s, offset > start ? offset : start, behind < stop ? behind : stop);
  }
}

__device__ __forceinline__ bool moves(const ParameterSegment& segment,
                                      const StepSettings& settings) {
  return segment.always_frozen == 0.f && !(segment.freezable != 0.f && settings.frozen != 0.f);
}

}  // namespace vitsnna::kernels::cuda
