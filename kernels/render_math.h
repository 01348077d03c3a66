// The arithmetic of a drawn map, pixel by pixel, for host and device alike: both give the same
// bytes. SPEC section 8.
#pragma once

#include "kernels/exact_math.h"
#include "kernels/render.h"

namespace vitsnna::kernels::render_math {

/// Two grid rows (or columns) and the share of the second.
struct Between {
  index_t low, high;
  float share;
};

/// Bilinear, align_corners false: source coordinate (at + 1/2) grid / size - 1/2, not below 0.
/// Nearest: floor(at grid / size).
VITSNNA_HOST_DEVICE Between between(Upsampling upsampling, index_t at, index_t grid, index_t size) {
  if (upsampling == Upsampling::nearest) return {at * grid / size, at * grid / size, 0.f};
  const double scale = static_cast<double>(grid) / static_cast<double>(size);
  const double found = product(static_cast<double>(at) + .5, scale) - .5;
  const double coordinate = found > 0. ? found : 0.;
  const auto whole = static_cast<index_t>(coordinate);
  const index_t low = whole < grid - 1 ? whole : grid - 1;
  const index_t high = low + 1 < grid - 1 ? low + 1 : grid - 1;
  return {low, high, static_cast<float>(coordinate - static_cast<double>(low))};
}

VITSNNA_HOST_DEVICE float mixed(float low, float high, float share) {
  return product(1.f - share, low) + product(share, high);
}

/// The map at pixel (row, x).
VITSNNA_HOST_DEVICE float upsampled(const RenderOverlay& a, const Between& row, index_t x) {
  const Between column = between(a.upsampling, x, a.grid_width, a.width);
  const float* upper = a.map + row.low * a.grid_width;
  const float* lower = a.map + row.high * a.grid_width;
  const float above = mixed(upper[column.low], upper[column.high], column.share);
  const float below = mixed(lower[column.low], lower[column.high], column.share);
  return mixed(above, below, row.share);
}

struct Range {
  float low, high;
  /// Position in the range, [0, 1]; 0 where the range is empty or the value is not a number.
  VITSNNA_HOST_DEVICE float unit(float value) const {
    const float u = (value - low) / (high - low);
    if (!(high > low && u > 0.f)) return 0.f;
    return u < 1.f ? u : 1.f;
  }
};

VITSNNA_HOST_DEVICE std::uint8_t to_byte(float unit) {
  return static_cast<std::uint8_t>(product(255.f, unit) + .5f);
}

/// The colour of a value of the map: 3 bytes of the table.
VITSNNA_HOST_DEVICE const std::uint8_t* heat(const RenderOverlay& a, const Range& map_range,
                                             float value) {
  return a.colormap + 3 * to_byte(map_range.unit(value));
}

/// Colour and image together, before Blend::add's min-max.
VITSNNA_HOST_DEVICE float sum(std::uint8_t colour, std::uint8_t image) {
  return static_cast<float>(colour) + static_cast<float>(image);
}

/// One channel of the drawn pixel; `image` is null where there is none.
VITSNNA_HOST_DEVICE std::uint8_t drawn(const RenderOverlay& a, const Range& sum_range,
                                       std::uint8_t colour, const std::uint8_t* image) {
  if (!image) return colour;
  if (a.blend == Blend::add) return to_byte(sum_range.unit(sum(colour, *image)));
  const float blended = product(a.alpha, static_cast<float>(colour)) +
                        product(1.f - a.alpha, static_cast<float>(*image));
  const float clamped = blended < 0.f ? 0.f : blended > 255.f ? 255.f : blended;
  return static_cast<std::uint8_t>(clamped + .5f);
}

}  // namespace vitsnna::kernels::render_math
