// Scores of a few query rows against every key of a head.
#pragma once

#include "kernels/cpu/attention_tiles.h"

namespace vitsnna::kernels::cpu {

/// tile (rows x columns, padded stride) = left (rows x head_dim) right (columns x head_dim)^T. One
/// row is so little work that plain dot products are quicker than a matrix product.
struct RowScores {
  TileShape shape;

  RowScores(index_t rows, const ConstMatrix& left, const ConstMatrix& right, index_t columns,
            index_t head_dim)
      : shape(score_shape(rows, columns, head_dim, left.dtype)) {
    shape.left_stride = left.row_stride;
    shape.right_stride = right.row_stride;
    shape.output_stride = round_up(columns, tile_padding);
  }

  index_t tile_bytes() const { return 4 * shape.rows * shape.output_stride; }
  index_t product_bytes() const { return shape.rows == 1 ? 0 : tile_product_scratch_bytes(shape); }

  void operator()(const void* left, const void* right, float* tile, void* product_scratch) const {
    if (shape.rows > 1) {
      tile_product(shape, left, right, tile, product_scratch);
      return;
    }
    const auto& loops = vector_loops();
    const auto* row = static_cast<const std::byte*>(right);
    for (index_t j = 0; j < shape.columns; ++j) {
      tile[j] = loops.dot(shape.inner, left, row + j * shape.right_stride * size_of(shape.dtype),
                          shape.dtype);
    }
  }
};

/// Query rows that the ops on a few of them take at a time.
constexpr index_t most_score_rows = 16;

}  // namespace vitsnna::kernels::cpu
