// What both passes of the attention backward share: their kernel argument and how tiles are cut.
#pragma once

#include <type_traits>

#include "kernels/attention.h"
#include "kernels/cuda/attention_prepare.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/warp_product.h"

namespace vitsnna::kernels::cuda {

/// Kernel argument of both passes.
template <class Element>
struct BackwardOperands {
  Rows<const Element> query, key, value, output_gradient;
  Rows<Element> query_gradient, key_gradient, value_gradient;
  PreparedRows rows;
  /// (items * gradients, num_queries, heads * head_dim) fp32, what the one-pass kernel adds to
  float* query_sums = nullptr;
  AttentionShape shape;
  index_t gradients = 1;
  /// Of every item, gradients [first_gradient, first_gradient + groups * labels) are this launch's:
  /// a block takes the `labels` of a group.
  index_t first_gradient = 0, groups = 1;
  float scale = 1.f, scale_log2e = 1.f;
  bool aligned = false;            ///< query, key, value and output_gradient
  bool gradients_aligned = false;  ///< query_gradient, key_gradient and value_gradient

  /// One head of one item of an operand, as tiles are read from it and strips written to it.
  __device__ __forceinline__ TileSource<Element> source(const Rows<const Element>& operand,
                                                        index_t item, index_t head,
                                                        index_t count) const {
    return {operand.row(item, 0) + head * shape.head_dim, operand.row_stride, count,
            static_cast<int>(shape.head_dim), aligned};
  }
  __device__ __forceinline__ StripTarget<Element> target(const Rows<Element>& operand, index_t set,
                                                         index_t head, index_t count) const {
    return {operand.row(set, 0) + head * shape.head_dim, operand.row_stride, count,
            static_cast<int>(shape.head_dim), gradients_aligned};
  }
};

/// Whose work a block does.
struct BackwardPlace {
  index_t tile;  ///< of what the block keeps
  index_t head, item;
  index_t gradient;  ///< the first of its labels
  index_t set;       ///< item * gradients + gradient
};
template <class Element>
__device__ __forceinline__ BackwardPlace place_of_block(const BackwardOperands<Element>& p,
                                                        index_t tiles, int labels) {
  const index_t group = blockIdx.x / tiles / p.shape.heads;
  BackwardPlace place;
  place.tile = blockIdx.x % tiles;
  place.head = blockIdx.x / tiles % p.shape.heads;
  place.item = group / p.groups;
  place.gradient = p.first_gradient + group % p.groups * labels;
  place.set = place.item * p.gradients + place.gradient;
  return place;
}

/// How the blocks of both passes are cut, for heads of up to head_dim columns (fewer are padded
/// with zeros). Rows that stay (keys, or queries) meet `streamed` rows at a time, of which `part`
/// at once: what the registers hold of S and G.
template <class Element, int head_dim_>
struct BackwardTiles {
  static constexpr bool is_bf16 = sizeof(Element) == 2;
  static constexpr int head_dim = head_dim_;
  static constexpr int warps = 4;
  static constexpr int threads = warps * kWarpSize;
  static constexpr int stages = 2;
  static constexpr int streamed = is_bf16 ? (head_dim <= 32 ? 64 : 32) : head_dim <= 96 ? 32 : 16;
  static constexpr int part = is_bf16 && head_dim <= 32 ? 32 : 16;

  using Product = WarpProduct<Element>;
  using Tile = SharedTile<Element, head_dim>;
  using Staging = typename Product::template Staging<part>;
  template <bool in_registers>
  using Strip = std::conditional_t<in_registers, typename Product::template RegisterStrip<head_dim>,
                                   typename Product::template SharedStrip<head_dim>>;
};

}  // namespace vitsnna::kernels::cuda
