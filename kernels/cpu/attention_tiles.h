// How the attention ops cut queries and keys into tiles, and the products of a tile. The cut
// depends on the two lengths alone, so a result's bits depend on neither the thread count nor the
// batch.
//
// Every operand of a tile's products is dense: rows of a head are copied together first, which is
// little beside the products, and oneDNN is then at its fastest.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd/vector_loops.h"
#include "kernels/cpu/tile_product.h"

namespace vitsnna::kernels::cpu {

constexpr float log2_e = 1.44269504f;
constexpr float ln_2 = 0.69314718f;

/// `length` positions in blocks of nearly equal size, a multiple of the tile padding.
struct Blocks {
  index_t length = 0;
  index_t size = 0;
  index_t count = 0;

  Blocks(index_t positions, index_t largest) : length(positions) {
    const index_t wanted = std::max<index_t>(1, ceil_div(length, largest));
    size = round_up(std::max<index_t>(1, ceil_div(length, wanted)), tile_padding);
    count = ceil_div(length, size);
  }
  index_t first(index_t block) const { return block * size; }
  index_t extent(index_t block) const { return std::min(size, length - block * size); }
  index_t padded(index_t block) const { return round_up(extent(block), tile_padding); }
  /// All blocks together, padded.
  index_t total() const { return first(count - 1) + padded(count - 1); }
};

/// softmax scale head_dim^-1/2, and the same for exponentials in base 2
inline float scale_of(index_t head_dim) { return 1.f / std::sqrt(static_cast<float>(head_dim)); }
inline float scale_log2e_of(index_t head_dim) { return scale_of(head_dim) * log2_e; }

/// Copies head columns of `rows` rows into dense (padded, head_dim), zero beyond `rows`.
inline void copy_head(const ConstMatrix& from, index_t item, index_t first_row, index_t column,
                      index_t rows, index_t padded, index_t head_dim, void* to) {
  const auto row_bytes = static_cast<std::size_t>(head_dim * size_of(from.dtype));
  const auto* source = static_cast<const std::byte*>(element(from, item, first_row, column));
  auto* destination = static_cast<std::byte*>(to);
  const index_t stride = from.row_stride * size_of(from.dtype);
  for (index_t row = 0; row < rows; ++row) {
    std::memcpy(destination, source + row * stride, row_bytes);
    destination += row_bytes;
  }
  std::memset(destination, 0, static_cast<std::size_t>(padded - rows) * row_bytes);
}

/// output (rows, columns) = left (rows, inner) right (columns, inner)^T, all dense: scores.
inline TileShape score_shape(index_t rows, index_t columns, index_t inner, DType dtype) {
  TileShape shape;
  shape.rows = rows;
  shape.columns = columns;
  shape.inner = inner;
  shape.left_stride = inner;
  shape.right_stride = inner;
  shape.output_stride = columns;
  shape.dtype = dtype;
  shape.right = RightLayout::columns;
  return shape;
}

/// output (rows, columns) += left (rows, inner) right (inner, columns), all dense: a tile of P or
/// dS times rows of a head.
inline TileShape weighted_sum_shape(index_t rows, index_t inner, index_t columns, DType dtype) {
  TileShape shape;
  shape.rows = rows;
  shape.columns = columns;
  shape.inner = inner;
  shape.left_stride = inner;
  shape.right_stride = columns;
  shape.output_stride = columns;
  shape.dtype = dtype;
  shape.accumulate = true;
  return shape;
}

/// The same with left (inner, rows) read transposed.
inline TileShape transposed_sum_shape(index_t rows, index_t inner, index_t columns, DType dtype) {
  TileShape shape = weighted_sum_shape(rows, inner, columns, dtype);
  shape.left_stride = rows;
  shape.left_transposed = true;
  return shape;
}

}  // namespace vitsnna::kernels::cpu
