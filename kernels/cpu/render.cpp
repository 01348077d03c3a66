// A map drawn over an image: upsampling, min-max, colours, blend. SPEC section 8.
#include <limits>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/render_math.h"

namespace vitsnna::kernels::cpu {
namespace {

using render_math::Between;
using render_math::between;
using render_math::Range;
using render_math::upsampled;

/// Least and greatest of value(y, x) over the picture; their order does not matter to the result.
template <class Value>
Range range_of(const Queue& queue, const RenderOverlay& a, const Value& value) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
#pragma omp parallel for num_threads(queue.num_threads) reduction(min : low) reduction(max : high)
  for (index_t y = 0; y < a.height; ++y) {
    const Between row = between(a.upsampling, y, a.grid_height, a.height);
    for (index_t x = 0; x < a.width; ++x) {
      value(row, y, x, [&](float v) {
        low = v < low ? v : low;
        high = v > high ? v : high;
      });
    }
  }
  return {low, high};
}

}  // namespace

void render_overlay(Queue& queue, const RenderOverlay& a) {
  const Range map_range = range_of(
      queue, a,
      [&a](const Between& row, index_t, index_t x, const auto& see) { see(upsampled(a, row, x)); });
  const auto heat = [&](const Between& row, index_t x) {
    return render_math::heat(a, map_range, upsampled(a, row, x));
  };
  Range sum_range{};
  if (a.image && a.blend == Blend::add) {
    sum_range = range_of(queue, a, [&](const Between& row, index_t y, index_t x, const auto& see) {
      const std::uint8_t* colour = heat(row, x);
      for (index_t c = 0; c < 3; ++c)
        see(render_math::sum(colour[c], a.image[(y * a.width + x) * 3 + c]));
    });
  }
  parallel_for(queue, a.height, [&](index_t y, int) {
    const Between row = between(a.upsampling, y, a.grid_height, a.height);
    for (index_t x = 0; x < a.width; ++x) {
      const std::uint8_t* colour = heat(row, x);
      const index_t pixel = (y * a.width + x) * 3;
      for (index_t c = 0; c < 3; ++c) {
        const std::uint8_t* image = a.image ? a.image + pixel + c : nullptr;
        a.output[pixel + c] = render_math::drawn(a, sum_range, colour[c], image);
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
