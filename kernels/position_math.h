// Which trained rows make a row of a resampled position embedding, for host and device alike.
// SPEC section 1.
#pragma once

#include "kernels/exact_math.h"

namespace vitsnna::kernels::position_math {

/// The four source rows (or columns) of one new row, clamped to the border, and their weights.
struct Taps {
  index_t index[4];
  float weight[4];
};

/// Source coordinate of a new row: (destination + 1/2) g / (n + 0.1) - 1/2.
VITSNNA_HOST_DEVICE double source_coordinate(index_t destination, index_t source_side,
                                             index_t side) {
  const double scale = static_cast<double>(source_side) / (static_cast<double>(side) + .1);
  return product(static_cast<double>(destination) + .5, scale) - .5;
}

/// Cubic convolution with A = -3/4, within one step and within two.
VITSNNA_HOST_DEVICE double near_weight(double x) {
  constexpr double A = -.75;
  return product(product(product(A + 2., x) - (A + 3.), x), x) + 1.;
}
VITSNNA_HOST_DEVICE double far_weight(double x) {
  constexpr double A = -.75;
  return product(product(product(A, x) - 5. * A, x) + 8. * A, x) - 4. * A;
}

VITSNNA_HOST_DEVICE Taps taps(index_t destination, index_t source_side, index_t side) {
  const double coordinate = source_coordinate(destination, source_side, side);
  const index_t below = floor_of(coordinate);
  const double t = coordinate - static_cast<double>(below);
  Taps result;
  result.weight[0] = static_cast<float>(far_weight(t + 1.));
  result.weight[1] = static_cast<float>(near_weight(t));
  result.weight[2] = static_cast<float>(near_weight(1. - t));
  result.weight[3] = static_cast<float>(far_weight(2. - t));
  for (int k = 0; k < 4; ++k) {
    const index_t at = below - 1 + k;
    result.index[k] = at < 0 ? 0 : at >= source_side ? source_side - 1 : at;
  }
  return result;
}

}  // namespace vitsnna::kernels::position_math
