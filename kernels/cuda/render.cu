// A map drawn over an image: the range of the upsampled map, for Blend::add the range of colour and
// image together, then the picture. SPEC section 8.
#include "kernels/cuda/extremes.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/render_math.h"

namespace vitsnna::kernels::cuda {
namespace {

using render_math::Between;
using render_math::between;
using render_math::Range;
using render_math::upsampled;

__device__ __forceinline__ Range range_at(const float* extremes) {
  return {extremes[0], extremes[1]};
}

/// Extremes of the upsampled map (map_extremes null), or of colour plus image. Blocks take rows.
__global__ void __launch_bounds__(kExtremesThreads)
    range_kernel(RenderOverlay a, const float* map_extremes, float2* blocks) {
  float2 extremes = no_extremes();
  const Range map_range = map_extremes ? range_at(map_extremes) : Range{0.f, 0.f};
  for (index_t y = blockIdx.x; y < a.height; y += gridDim.x) {
    const Between row = between(a.upsampling, y, a.grid_height, a.height);
    for (index_t x = threadIdx.x; x < a.width; x += kExtremesThreads) {
      const float value = upsampled(a, row, x);
      if (!map_extremes) {
        see(extremes, value);
        continue;
      }
      const std::uint8_t* colour = render_math::heat(a, map_range, value);
      const std::uint8_t* image = a.image + (y * a.width + x) * 3;
#pragma unroll
      for (int c = 0; c < 3; ++c) see(extremes, render_math::sum(colour[c], image[c]));
    }
  }
  const float2 all = block_extremes(extremes);
  if (threadIdx.x == 0) blocks[blockIdx.x] = all;
}

__global__ void __launch_bounds__(256) draw_kernel(RenderOverlay a, const float* map_extremes,
                                                   const float* sum_extremes, RowWalk walk) {
  const Place at = place_of_thread(walk, 1);
  if (at.column >= walk.columns) return;
  const Between row = between(a.upsampling, at.row, a.grid_height, a.height);
  const std::uint8_t* colour =
      render_math::heat(a, range_at(map_extremes), upsampled(a, row, at.column));
  const Range sum_range = sum_extremes ? range_at(sum_extremes) : Range{0.f, 0.f};
  const index_t pixel = (at.row * a.width + at.column) * 3;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const std::uint8_t* image = a.image ? a.image + pixel + c : nullptr;
    a.output[pixel + c] = render_math::drawn(a, sum_range, colour[c], image);
  }
}

int range_blocks(const RenderOverlay& args) {
  return static_cast<int>(args.height < kMostExtremes ? args.height : kMostExtremes);
}

}  // namespace

/// {least, greatest} of the map and of the sums, then the blocks' pairs.
index_t render_overlay_scratch(const Queue&, const RenderOverlay& args) {
  return (2 + range_blocks(args)) * static_cast<index_t>(sizeof(float2));
}

void render_overlay(Queue& queue, const RenderOverlay& args) {
  auto* map_extremes = static_cast<float*>(queue.scratch);
  float* sum_extremes = map_extremes + 2;
  auto* blocks = static_cast<float2*>(queue.scratch) + 2;
  const int count = range_blocks(args);
  const LaunchShape range{dim3(static_cast<unsigned>(count)), kExtremesThreads, kExtremesShared};
  const float* none = nullptr;
  launch<range_kernel>("render_overlay", queue, range, args, none, blocks);
  join_extremes("render_overlay", queue, blocks, count, map_extremes);
  const bool add = args.image && args.blend == Blend::add;
  if (add) {
    launch<range_kernel>("render_overlay", queue, range, args,
                         static_cast<const float*>(map_extremes), blocks);
    join_extremes("render_overlay", queue, blocks, count, sum_extremes);
  }
  RowWalk walk;
  const LaunchShape shape = shape_of("render_overlay", {1, args.height, args.width}, 1, walk);
  launch<draw_kernel>("render_overlay", queue, shape, args, static_cast<const float*>(map_extremes),
                      add ? static_cast<const float*>(sum_extremes) : none, walk);
}

}  // namespace vitsnna::kernels::cuda
