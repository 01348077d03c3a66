// A map drawn over an image: upsampling, min-max, colours, blend. SPEC section 8.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"

namespace vitsnna::kernels::cpu {
namespace {

/// Two grid rows (or columns) and the share of the second.
struct Between {
  index_t low, high;
  float share;
};

/// Bilinear, align_corners false: source coordinate (at + 1/2) grid / size - 1/2, not below 0.
/// Nearest: floor(at grid / size).
Between between(Upsampling upsampling, index_t at, index_t grid, index_t size) {
  if (upsampling == Upsampling::nearest) return {at * grid / size, at * grid / size, 0.f};
  const double scale = static_cast<double>(grid) / static_cast<double>(size);
  const double coordinate = std::max(0., (static_cast<double>(at) + .5) * scale - .5);
  const auto low = std::min(static_cast<index_t>(coordinate), grid - 1);
  return {low, std::min(low + 1, grid - 1),
          static_cast<float>(coordinate - static_cast<double>(low))};
}

float upsampled(const RenderOverlay& a, const Between& row, index_t x) {
  const Between column = between(a.upsampling, x, a.grid_width, a.width);
  const float* upper = a.map + row.low * a.grid_width;
  const float* lower = a.map + row.high * a.grid_width;
  const float above = (1.f - column.share) * upper[column.low] + column.share * upper[column.high];
  const float below = (1.f - column.share) * lower[column.low] + column.share * lower[column.high];
  return (1.f - row.share) * above + row.share * below;
}

struct Range {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
  /// Position in the range, [0, 1]; 0 where the range is empty or the value is not a number.
  float unit(float value) const {
    const float u = (value - low) / (high - low);
    return high > low && u > 0.f ? std::min(u, 1.f) : 0.f;
  }
};

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

std::uint8_t to_byte(float unit) { return static_cast<std::uint8_t>(255.f * unit + .5f); }

}  // namespace

void render_overlay(Queue& queue, const RenderOverlay& a) {
  const Range map_range = range_of(
      queue, a,
      [&a](const Between& row, index_t, index_t x, const auto& see) { see(upsampled(a, row, x)); });
  const auto heat = [&](const Between& row, index_t x) {
    return a.colormap + 3 * to_byte(map_range.unit(upsampled(a, row, x)));
  };
  const auto sum = [&](const std::uint8_t* colour, index_t pixel, index_t channel) {
    return static_cast<float>(colour[channel]) + static_cast<float>(a.image[pixel + channel]);
  };
  Range sum_range;
  if (a.image && a.blend == Blend::add) {
    sum_range = range_of(queue, a, [&](const Between& row, index_t y, index_t x, const auto& see) {
      const std::uint8_t* colour = heat(row, x);
      for (index_t c = 0; c < 3; ++c) see(sum(colour, (y * a.width + x) * 3, c));
    });
  }
  parallel_for(queue, a.height, [&](index_t y, int) {
    const Between row = between(a.upsampling, y, a.grid_height, a.height);
    for (index_t x = 0; x < a.width; ++x) {
      const std::uint8_t* colour = heat(row, x);
      const index_t pixel = (y * a.width + x) * 3;
      for (index_t c = 0; c < 3; ++c) {
        if (!a.image) {
          a.output[pixel + c] = colour[c];
        } else if (a.blend == Blend::add) {
          a.output[pixel + c] = to_byte(sum_range.unit(sum(colour, pixel, c)));
        } else {
          const float blended = a.alpha * static_cast<float>(colour[c]) +
                                (1.f - a.alpha) * static_cast<float>(a.image[pixel + c]);
          a.output[pixel + c] = static_cast<std::uint8_t>(std::clamp(blended, 0.f, 255.f) + .5f);
        }
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
