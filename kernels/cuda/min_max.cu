// Least and greatest element of an array, in two launches.
#include "kernels/cuda/extremes.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kElementsPerThread = 16;

template <int width>
__global__ void __launch_bounds__(kExtremesThreads)
    min_max_kernel(const float* input, index_t elements, float2* blocks) {
  float2 extremes = no_extremes();
  const index_t step = static_cast<index_t>(gridDim.x) * kExtremesThreads * width;
  index_t at = (static_cast<index_t>(blockIdx.x) * kExtremesThreads + threadIdx.x) * width;
  for (; at < elements; at += step) {
    if (at + width <= elements) {
      float values[width];
      load_floats(input + at, values);
#pragma unroll
      for (int k = 0; k < width; ++k) see(extremes, values[k]);
    } else {
      for (index_t k = at; k < elements; ++k) see(extremes, input[k]);
    }
  }
  const float2 all = block_extremes(extremes);
  if (threadIdx.x == 0) blocks[blockIdx.x] = all;
}

__global__ void __launch_bounds__(kExtremesThreads)
    join_extremes_kernel(const float2* blocks, int count, float* extremes) {
  float2 mine = no_extremes();
  for (int k = static_cast<int>(threadIdx.x); k < count; k += kExtremesThreads) {
    mine = make_float2(fminf(mine.x, blocks[k].x), fmaxf(mine.y, blocks[k].y));
  }
  const float2 all = block_extremes(mine);
  if (threadIdx.x == 0) {
    extremes[0] = all.x;
    extremes[1] = all.y;
  }
}

int blocks_of(index_t elements) {
  const index_t wanted = ceil_div(elements, kExtremesThreads * kElementsPerThread);
  return static_cast<int>(wanted < kMostExtremes ? wanted : kMostExtremes);
}

}  // namespace

void join_extremes(const char* name, Queue& queue, const float2* blocks, int count,
                   float* extremes) {
  const LaunchShape shape{dim3(1), kExtremesThreads, kExtremesShared};
  launch<join_extremes_kernel>(name, queue, shape, blocks, count, extremes);
}

index_t min_max_scratch(const Queue&, const MinMax& args) {
  return blocks_of(args.elements) * static_cast<index_t>(sizeof(float2));
}

void min_max(Queue& queue, const MinMax& args) {
  const int count = blocks_of(args.elements);
  const LaunchShape shape{dim3(static_cast<unsigned>(count)), kExtremesThreads, kExtremesShared};
  auto* blocks = static_cast<float2*>(queue.scratch);
  if (aligned_for(4, 4, args.input)) {
    launch<min_max_kernel<4>>("min_max", queue, shape, args.input, args.elements, blocks);
  } else {
    launch<min_max_kernel<1>>("min_max", queue, shape, args.input, args.elements, blocks);
  }
  join_extremes("min_max", queue, blocks, count, args.extremes);
}

}  // namespace vitsnna::kernels::cuda
