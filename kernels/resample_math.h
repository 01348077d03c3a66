// Pillow's bicubic coefficients, for host and device alike: the same double operations in the same
// order, so that the fixed-point values are Pillow's to the bit.
#pragma once

#include "kernels/exact_math.h"

namespace vitsnna::kernels::resample_math {

/// Of a coefficient: 32 bits, less 8 of a pixel, less 2 to spare.
constexpr int fraction_bits = 22;
constexpr std::int32_t half = 1 << (fraction_bits - 1);

/// Cubic convolution with a = -1/2; its support is 2.
VITSNNA_HOST_DEVICE double bicubic(double x) {
  constexpr double a = -.5;
  x = x < 0. ? -x : x;
  if (x < 1.) return product(product(product(a + 2., x) - (a + 3.), x), x) + 1.;
  if (x < 2.) return product(product(product(x - 5., x) + 8., x) - 4., a);
  return 0.;
}

/// One axis of the resize: which window of the source makes which window of the result.
struct Axis {
  index_t source = 0, resized = 0;
  index_t crop_first = 0, crop = 0;

  VITSNNA_HOST_DEVICE bool copies() const { return source == resized; }
  VITSNNA_HOST_DEVICE double scale() const {
    return static_cast<double>(source) / static_cast<double>(resized);
  }
  VITSNNA_HOST_DEVICE double filter_scale() const { return scale() > 1. ? scale() : 1.; }
  VITSNNA_HOST_DEVICE double centre(index_t at) const {
    return product(static_cast<double>(at) + .5, scale());
  }
  VITSNNA_HOST_DEVICE double reach() const { return product(2., filter_scale()); }
  /// Source pixels that pixel `at` of the result is made of: [first, end).
  VITSNNA_HOST_DEVICE index_t first(index_t at) const {
    if (copies()) return at;
    const auto found = static_cast<index_t>(centre(at) - reach() + .5);
    return found > 0 ? found : 0;
  }
  VITSNNA_HOST_DEVICE index_t end(index_t at) const {
    if (copies()) return at + 1;
    const auto found = static_cast<index_t>(centre(at) + reach() + .5);
    return found < source ? found : source;
  }
  /// Most coefficients that one pixel of the result has.
  VITSNNA_HOST_DEVICE index_t most_taps() const { return -floor_of(-reach()) * 2 + 1; }
  /// Source rows (or columns) that the window of the result needs.
  VITSNNA_HOST_DEVICE index_t needed_first() const { return first(crop_first); }
  VITSNNA_HOST_DEVICE index_t needed_end() const { return end(crop_first + crop - 1); }

  /// Weight of source pixel `from`, not normalised.
  VITSNNA_HOST_DEVICE double weight(index_t at, index_t from) const {
    const double inverse = 1. / filter_scale();
    return bicubic(product(static_cast<double>(from) - centre(at) + .5, inverse));
  }
};

/// Coefficients of pixel `at`, fixed[0 .. end - first): normalised in double, then rounded half
/// away from zero. A copied pixel has the coefficient 1.
VITSNNA_HOST_DEVICE void coefficients(const Axis& axis, index_t at, std::int32_t* fixed) {
  if (axis.copies()) {
    fixed[0] = 1 << fraction_bits;
    return;
  }
  const index_t first = axis.first(at), end = axis.end(at);
  double sum = 0.;
  for (index_t from = first; from < end; ++from) sum += axis.weight(at, from);
  for (index_t from = first; from < end; ++from) {
    const double weight = axis.weight(at, from);
    const double normalised = sum != 0. ? weight / sum : weight;
    const double scaled = product(normalised, static_cast<double>(1 << fraction_bits));
    fixed[from - first] = static_cast<std::int32_t>(normalised < 0. ? scaled - .5 : scaled + .5);
  }
}

/// A sum of pixels times coefficients, started at `half`, as a pixel.
VITSNNA_HOST_DEVICE std::uint8_t to_pixel(std::int32_t sum) {
  const std::int32_t value = sum >> fraction_bits;
  return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

/// (pixel / 255 - mean) / deviation.
VITSNNA_HOST_DEVICE float normalised(std::uint8_t pixel, float mean, float deviation) {
  return (static_cast<float>(pixel) / 255.f - mean) / deviation;
}

}  // namespace vitsnna::kernels::resample_math
