// The two passes of a resize, line by line: rows of pixels filtered along themselves, then several
// rows filtered into one. Shared by the ops that resize.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/resample_math.h"

namespace vitsnna::kernels::cpu {

/// Coefficients of every pixel of the axis's window, most_taps() places each; none of a copy.
inline void fill_taps(const resample_math::Axis& axis, std::int32_t* taps) {
  for (index_t at = 0; at < axis.crop && !axis.copies(); ++at) {
    resample_math::coefficients(axis, axis.crop_first + at, taps + at * axis.most_taps());
  }
}

/// One row of the source, `from`, to the window's pixels of it.
inline void resample_row(const std::uint8_t* from, const resample_math::Axis& axis,
                         const std::int32_t* taps, std::uint8_t* to) {
  using resample_math::half;
  using resample_math::to_pixel;
  if (axis.copies()) {
    std::memcpy(to, from + axis.crop_first * 3, static_cast<std::size_t>(axis.crop * 3));
    return;
  }
  for (index_t x = 0; x < axis.crop; ++x) {
    const index_t first = axis.first(axis.crop_first + x);
    const index_t count = axis.end(axis.crop_first + x) - first;
    const std::int32_t* weight = taps + x * axis.most_taps();
    std::int32_t red = half, green = half, blue = half;
    for (index_t k = 0; k < count; ++k) {
      const std::uint8_t* pixel = from + (first + k) * 3;
      red += pixel[0] * weight[k];
      green += pixel[1] * weight[k];
      blue += pixel[2] * weight[k];
    }
    to[3 * x] = to_pixel(red);
    to[3 * x + 1] = to_pixel(green);
    to[3 * x + 2] = to_pixel(blue);
  }
}

/// Bytes that resample_piece makes at once: they stay on the stack.
constexpr index_t kResamplePiece = 3 * 256;

/// Row `at` of the window, `width` bytes of it, from those that resample_row left at `from` (the
/// first is the source's needed_first()).
inline void resample_piece(const std::uint8_t* from, index_t row_bytes,
                           const resample_math::Axis& axis, const std::int32_t* taps, index_t at,
                           index_t width, std::uint8_t* to) {
  const index_t first = axis.first(axis.crop_first + at);
  const index_t count = axis.end(axis.crop_first + at) - first;
  from += (first - axis.needed_first()) * row_bytes;
  if (axis.copies()) {
    std::memcpy(to, from, static_cast<std::size_t>(width));
    return;
  }
  const std::int32_t* weight = taps + at * axis.most_taps();
  std::int32_t sums[kResamplePiece];
  std::fill_n(sums, width, resample_math::half);
  for (index_t k = 0; k < count; ++k) {
    const std::uint8_t* row = from + k * row_bytes;
    for (index_t i = 0; i < width; ++i) sums[i] += row[i] * weight[k];
  }
  for (index_t i = 0; i < width; ++i) to[i] = resample_math::to_pixel(sums[i]);
}

}  // namespace vitsnna::kernels::cpu
