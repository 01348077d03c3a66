// The query-stationary pass of the attention backward: a block keeps a tile of queries and meets
// every key, adding up dQ, for one label or for several that share its S.
#pragma once

#include "kernels/cuda/attention_backward_operands.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {

template <class Element, int head_dim, int labels_>
struct QueryPass : BackwardTiles<Element, head_dim> {
  using Base = BackwardTiles<Element, head_dim>;
  using Tile = typename Base::Tile;
  static constexpr int labels = labels_;
  /// Strips of 16 queries, a warp. K and V fragments are read once for two strips, or two labels.
  static constexpr int strips = Base::is_bf16 && head_dim <= 64 && labels == 1 ? 2 : 1;
  static constexpr int warp_queries = 16 * strips;
  static constexpr int queries = Base::warps * warp_queries;
  static_assert(kPreparedRows % queries == 0);
  using Strip = typename Base::template Strip<(head_dim * labels <= 128 && head_dim <= 96)>;
  static constexpr int resident_blocks = head_dim <= 96 ? 2 : 1;
  static constexpr int bytes = (1 + labels) * Tile::bytes(queries) +
                               2 * Base::stages * Tile::bytes(Base::streamed) +
                               Base::warps * Base::Staging::bytes_per_warp;
};

/// S = Q K^T;  A = 2^(scale log2(e) S + shift);  G = dO V^T;  dQ = scale (A (G - D)) K
template <class Element, int head_dim, int labels>
__global__ void __launch_bounds__(QueryPass<Element, head_dim, labels>::threads,
                                  QueryPass<Element, head_dim, labels>::resident_blocks)
    attention_backward_queries_kernel(BackwardOperands<Element> p, index_t query_tiles) {
  using Pass = QueryPass<Element, head_dim, labels>;
  using Tile = typename Pass::Tile;
  using Product = typename Pass::Product;
  constexpr int streamed = Pass::streamed, part = Pass::part, strips = Pass::strips;
  constexpr int threads = Pass::threads, stages = Pass::stages;
  constexpr int sets = labels * strips;  // strip l * strips + k is strip k of label l
  const AttentionShape& s = p.shape;
  const int thread = static_cast<int>(threadIdx.x);
  const BackwardPlace place = place_of_block(p, query_tiles, labels);
  const index_t first_query = place.tile * Pass::queries;
  const index_t item = place.item, head = place.head, set = place.set;

  SharedMemory memory;
  const Tile query_tile = Tile::take(memory, Pass::queries);
  const Tile gradient_tile = Tile::take(memory, labels * Pass::queries);
  const Tile key_stages = Tile::take(memory, stages * streamed);
  const Tile value_stages = Tile::take(memory, stages * streamed);
  const auto staging = Pass::Staging::take(memory, Pass::warps, warp_index());

  const TileSource<Element> key = p.source(p.key, item, head, s.num_keys);
  const TileSource<Element> value = p.source(p.value, item, head, s.num_keys);
  const int tiles = static_cast<int>(ceil_div(s.num_keys, streamed));
  const auto load_stage = [&](int tile) {
    if (tile < tiles) {
      const index_t first = static_cast<index_t>(tile) * streamed;
      const int row = tile % stages * streamed;
      key_stages.from_row(row).template load_rows<streamed, threads>(key, first, thread);
      value_stages.from_row(row).template load_rows<streamed, threads>(value, first, thread);
    }
    ptx::copy_async_commit();
  };
  query_tile.template load_rows<Pass::queries, threads>(
      p.source(p.query, item, head, s.num_queries), first_query, thread);
#pragma unroll
  for (int l = 0; l < labels; ++l) {
    gradient_tile.from_row(l * Pass::queries)
        .template load_rows<Pass::queries, threads>(
            p.source(p.output_gradient, set + l, head, s.num_queries), first_query, thread);
  }
#pragma unroll
  for (int tile = 0; tile < stages - 1; ++tile) load_stage(tile);

  const int warp_row = warp_index() * Pass::warp_queries;
  const bool works = first_query + warp_row < s.num_queries;
  typename Pass::Strip queries[strips], gradients[sets];
  float shift[strips][2], row_dot[sets][2];
#pragma unroll
  for (int k = 0; k < sets; ++k) {
    const int strip = k % strips, l = k / strips;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const index_t i = first_query + warp_row + 16 * strip + StripSums<1>::row(2 * half);
      if (l == 0) shift[strip][half] = p.rows.shift[(item * s.heads + head) * p.rows.padded + i];
      row_dot[k][half] = p.rows.row_dot[((set + l) * s.heads + head) * p.rows.padded + i];
    }
  }
  StripSums<head_dim / 8> query_gradient[sets];
  clear(query_gradient);
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    ptx::copy_async_wait<stages - 2>();
    __syncthreads();
    load_stage(tile + stages - 1);
    if (!works) continue;
    if (tile == 0) {
#pragma unroll
      for (int strip = 0; strip < strips; ++strip) {
        queries[strip] = {query_tile, warp_row + 16 * strip};
      }
#pragma unroll
      for (int k = 0; k < sets; ++k) {
        gradients[k] = {gradient_tile, k / strips * Pass::queries + warp_row + 16 * (k % strips)};
      }
    }
#pragma unroll 1
    for (int first = 0; first < streamed; first += part) {
      const int row = tile % stages * streamed + first;
      StripSums<part / 8> attention[strips], gradient[sets];
      clear(attention);
      Product::scores(attention, queries, key_stages, row);
      clear(gradient);
      Product::scores(gradient, gradients, value_stages, row);
#pragma unroll
      for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
        for (int n = 0; n < part / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const float a = softmax_exp2<Element>(
                fmaf(p.scale_log2e, attention[strip].sum[n][e], shift[strip][e / 2]));
#pragma unroll
            for (int k = strip; k < sets; k += strips) {
              float& g = gradient[k].sum[n][e];
              g = a * (g - row_dot[k][e / 2]);
            }
          }
        }
      }
      // Keys beyond the last are zero rows with a score of 0: their A may be anything.
      const index_t left = s.num_keys - (static_cast<index_t>(tile) * streamed + first);
      if (left < part) {
#pragma unroll
        for (int k = 0; k < sets; ++k) {
#pragma unroll
          for (int n = 0; n < part / 8; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              if (StripSums<1>::column(n, e) >= left) gradient[k].sum[n][e] = 0.f;
            }
          }
        }
      }
      Product::accumulate(query_gradient, gradient, staging, key_stages, row);
    }
  }
  if (!works) return;
#pragma unroll
  for (int k = 0; k < sets; ++k) {
    store_strip(query_gradient[k], p.scale,
                p.target(p.query_gradient, set + k / strips, head, s.num_queries),
                first_query + warp_row + 16 * (k % strips));
  }
}

}  // namespace vitsnna::kernels::cuda
