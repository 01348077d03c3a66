// How the attention ops cut queries and keys into tiles. The cut depends on the two lengths alone,
// so a result's bits depend on neither the thread count nor the batch.
#pragma once

#include <algorithm>
#include <cmath>

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
  /// The extents that occur: that of block 0 and that of the last.
  index_t extent_of_kind(int kind) const { return extent(kind == 0 ? 0 : count - 1); }
};

/// softmax scale head_dim^-1/2, in base 2
inline float scale_of(index_t head_dim) {
  return 1.f / std::sqrt(static_cast<float>(head_dim));
}
inline float scale_log2e_of(index_t head_dim) {
  return scale_of(head_dim) * log2_e;
}

/// S = Q K^T, or G = dO V^T: (rows x head_dim) (columns x head_dim)^T into a padded tile.
inline TileShape score_shape(index_t rows, index_t columns, index_t head_dim, index_t left_stride,
                             index_t right_stride, index_t tile_stride, DType dtype) {
  TileShape shape;
  shape.rows = rows;
  shape.columns = columns;
  shape.inner = head_dim;
  shape.left_stride = left_stride;
  shape.right_stride = right_stride;
  shape.output_stride = tile_stride;
  shape.dtype = dtype;
  shape.right = RightLayout::columns;
  return shape;
}

/// output += P V or dS K: (rows x columns tile) (columns x head_dim)
inline TileShape weighted_sum_shape(index_t rows, index_t columns, index_t head_dim,
                                    index_t tile_stride, index_t right_stride,
                                    index_t output_stride, DType dtype) {
  TileShape shape;
  shape.rows = rows;
  shape.columns = head_dim;
  shape.inner = columns;
  shape.left_stride = tile_stride;
  shape.right_stride = right_stride;
  shape.output_stride = output_stride;
  shape.dtype = dtype;
  shape.accumulate = true;
  return shape;
}

/// output += P^T dO or dS^T Q: (rows x columns tile)^T (rows x head_dim)
inline TileShape transposed_sum_shape(index_t rows, index_t columns, index_t head_dim,
                                      index_t tile_stride, index_t right_stride,
                                      index_t output_stride, DType dtype) {
  TileShape shape =
      weighted_sum_shape(columns, rows, head_dim, tile_stride, right_stride, output_stride, dtype);
  shape.left_transposed = true;
  return shape;
}

}  // namespace vitsnna::kernels::cpu
