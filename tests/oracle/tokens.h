// Oracles of position embedding and token assembly. Dense operands.
#pragma once

#include <algorithm>

#include "kernels/position_embedding.h"
#include "kernels/tokens.h"
#include "tests/oracle/values.h"

namespace vitsnna::oracle {

/// Keys' cubic convolution kernel with A = -3/4.
inline double cubic(double x) {
  constexpr double A = -.75;
  x = std::abs(x);
  if (x <= 1.) return (A + 2.) * x * x * x - (A + 3.) * x * x + 1.;
  if (x < 2.) return A * x * x * x - 5. * A * x * x + 8. * A * x - 4. * A;
  return 0.;
}

/// Source coordinate of a new row or column, SPEC section 1: (dst + 1/2) g / (n + 0.1) - 1/2.
inline double source_coordinate(index_t destination, index_t trained, index_t side) {
  return (static_cast<double>(destination) + .5) * static_cast<double>(trained) /
             (static_cast<double>(side) + .1) -
         .5;
}

/// Weight of source row `from` in new row `to`: every tap that the border clamps to `from` counts.
inline double tap_weight(index_t to, index_t from, index_t trained, index_t side) {
  const double x = source_coordinate(to, trained, side);
  const auto below = static_cast<index_t>(std::floor(x));
  double weight = 0.;
  for (index_t tap = below - 1; tap <= below + 2; ++tap) {
    if (std::clamp<index_t>(tap, 0, trained - 1) == from) {
      weight += cubic(x - static_cast<double>(tap));
    }
  }
  return weight;
}

/// The resampling as a matrix (1 + new cells, 1 + trained cells), CLS first.
inline Values position_matrix(index_t trained_height, index_t trained_width, index_t height,
                              index_t width) {
  const index_t sources = 1 + trained_height * trained_width;
  Values matrix = zeros((1 + height * width) * sources);
  put(matrix, 0, 1.);
  const bool same = trained_height == height && trained_width == width;
  for (index_t cell = 0; cell < height * width; ++cell) {
    for (index_t from = 0; from < trained_height * trained_width; ++from) {
      const double weight =
          same ? static_cast<double>(cell == from)
               : tap_weight(cell / width, from / trained_width, trained_height, height) *
                     tap_weight(cell % width, from % trained_width, trained_width, width);
      put(matrix, (1 + cell) * sources + 1 + from, weight);
    }
  }
  return matrix;
}

/// matrix (rows, inner) * x (inner, columns), or matrix^T * x.
template <class T>
Values apply(const Values& matrix, index_t rows, index_t inner, const Values& x, index_t columns,
             bool transposed) {
  const index_t results = transposed ? inner : rows, terms = transposed ? rows : inner;
  Values y = zeros(results * columns);
  for (index_t r = 0; r < results; ++r) {
    for (index_t c = 0; c < columns; ++c) {
      T sum = 0;
      for (index_t k = 0; k < terms; ++k) {
        sum +=
            at<T>(matrix, transposed ? k * inner + r : r * inner + k) * at<T>(x, k * columns + c);
      }
      put(y, r * columns + c, sum);
    }
  }
  return y;
}

template <class T>
Values assemble_tokens(const kernels::AssembleTokens& a, Values tokens, const Values& cls,
                       const Values& position, const Values& keep) {
  for (index_t item = 0; item < a.items; ++item) {
    for (index_t row = 0; row <= a.num_patches; ++row) {
      const bool kept = row == 0 || keep.empty() || at(keep, item * a.num_patches + row - 1) != 0.;
      for (index_t c = 0; c < a.embed_dim; ++c) {
        const index_t index = (item * (1 + a.num_patches) + row) * a.embed_dim + c;
        const T content = row == 0 ? at<T>(cls, c) : kept ? at<T>(tokens, index) : T(0);
        put(tokens, index, content + at<T>(position, row * a.embed_dim + c));
      }
    }
  }
  return tokens;
}

}  // namespace vitsnna::oracle
