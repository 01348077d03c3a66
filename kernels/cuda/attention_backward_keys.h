// The key-stationary pass of the attention backward: a block keeps a tile of keys and values and
// meets every query, adding up dK and dV, for one label or for several that share its S.
#pragma once

#include "kernels/cuda/attention_backward_operands.h"
#include "kernels/cuda/relevance_chains.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {

template <class Element, int head_dim, int labels_>
struct KeyPass : BackwardTiles<Element, head_dim> {
  using Base = BackwardTiles<Element, head_dim>;
  using Tile = typename Base::Tile;
  static constexpr int labels = labels_;
  static constexpr int keys = 16 * Base::warps;  ///< a strip of 16 a warp
  /// dK and dV take head_dim registers a label: as long as there is room, fragments of K stay
  /// beside them, or at least those of V, which each label reads.
  using KeyStrip = typename Base::template Strip<(head_dim * labels <= 64)>;
  using ValueStrip = typename Base::template Strip<(head_dim <= 64)>;
  static constexpr int resident_blocks = Base::is_bf16 && head_dim <= 64 && labels == 1 ? 3
                                         : head_dim <= 96                               ? 2
                                                                                        : 1;
  using Sums = ChainSums<Base::warps, 1>;

  /// Of the one-pass kernel: dS^T of all keys and the streamed queries, from which each warp
  /// computes some columns of dQ for 16 of the queries.
  using ScoreGradient = SharedTile<Element, Base::streamed>;
  static constexpr int query_strips = Base::streamed / 16;
  static constexpr int query_columns = head_dim * query_strips / Base::warps;

  /// Of a stage: shift, then D of each label, then the chains' weights.
  static constexpr int row_floats(int chains) { return (1 + labels + chains) * Base::streamed; }
  static constexpr int bytes(int chains, bool one_pass) {
    return 2 * Tile::bytes(keys) + (1 + labels) * Base::stages * Tile::bytes(Base::streamed) +
           shared_bytes<float>(Base::stages * row_floats(chains)) +
           Base::warps * Base::Staging::bytes_per_warp +
           (chains > 0 ? shared_bytes<float>(Sums::floats(chains)) : 0) +
           (one_pass ? ScoreGradient::bytes(keys) : 0);
  }
};

/// Tiles are transposed, rows are keys:
///   S^T = K Q^T;  A^T = 2^(scale log2(e) S^T + shift);  G^T = V dO^T
///   dV = A^T dO;  dK = scale (A^T (G^T - D)) Q
/// so that A^T and dS^T are A operands as they stand in the accumulators. A of a tile serves all
/// `labels` gradients of the block, and so does each fragment of Q. With `capture` their chains are
/// summed up out of the same A and G. With `one_pass` dQ = dS K of the block's keys is added to
/// query_sums in whatever order blocks come by.
template <class Element, int head_dim, int labels, bool capture, bool one_pass>
__global__ void __launch_bounds__(KeyPass<Element, head_dim, labels>::threads,
                                  KeyPass<Element, head_dim, labels>::resident_blocks)
    attention_backward_keys_kernel(BackwardOperands<Element> p, index_t key_tiles,
                                   std::conditional_t<capture, ChainBatch, int> chains) {
  static_assert(!one_pass || (!capture && labels == 1));
  using Pass = KeyPass<Element, head_dim, labels>;
  using Tile = typename Pass::Tile;
  using Product = typename Pass::Product;
  constexpr int streamed = Pass::streamed, part = Pass::part;
  constexpr int threads = Pass::threads, stages = Pass::stages;
  const AttentionShape& s = p.shape;
  const int thread = static_cast<int>(threadIdx.x);
  const BackwardPlace place = place_of_block(p, key_tiles, labels);
  const index_t first_key = place.tile * Pass::keys;
  const index_t item = place.item, head = place.head, set = place.set;

  int stage_chains = 0;      // room for chains in a stage
  ChainRange range[labels];  // those of each label, one range after the other
  int range_count = 0;
  if constexpr (capture) {
    stage_chains = most_chains(chains, labels);
#pragma unroll
    for (int l = 0; l < labels; ++l) {
      range[l] = chains_of_gradient(chains, place.gradient + l);
      range_count += range[l].count;
    }
  }
  SharedMemory memory;
  const Tile key_tile = Tile::take(memory, Pass::keys);
  const Tile value_tile = Tile::take(memory, Pass::keys);
  const Tile query_stages = Tile::take(memory, stages * streamed);
  const Tile gradient_stages = Tile::take(memory, stages * labels * streamed);
  const auto row_stages = memory.take<float>(stages * Pass::row_floats(stage_chains));
  const auto staging = Pass::Staging::take(memory, Pass::warps, warp_index());
  typename Pass::ScoreGradient score_gradient;
  if constexpr (one_pass) score_gradient = Pass::ScoreGradient::take(memory, Pass::keys);

  const TileSource<Element> query = p.source(p.query, item, head, s.num_queries);
  const float* shift = p.rows.shift + (item * s.heads + head) * p.rows.padded;
  TileSource<Element> output_gradient[labels];
#pragma unroll
  for (int l = 0; l < labels; ++l) {
    output_gradient[l] = p.source(p.output_gradient, set + l, head, s.num_queries);
  }
  const int tiles = static_cast<int>(ceil_div(s.num_queries, streamed));
  const auto load_stage = [&](int tile) {
    if (tile < tiles) {
      const index_t first = static_cast<index_t>(tile) * streamed;
      const int stage = tile % stages;
      query_stages.from_row(stage * streamed)
          .template load_rows<streamed, threads>(query, first, thread);
      const Shared<float> rows = row_stages + stage * Pass::row_floats(stage_chains);
      load_floats<streamed, threads>(rows, shift + first, thread);
#pragma unroll
      for (int l = 0; l < labels; ++l) {
        gradient_stages.from_row((stage * labels + l) * streamed)
            .template load_rows<streamed, threads>(output_gradient[l], first, thread);
        load_floats<streamed, threads>(
            rows + (1 + l) * streamed,
            p.rows.row_dot + ((set + l) * s.heads + head) * p.rows.padded + first, thread);
      }
      if constexpr (capture) {
        for (int c = 0; c < range_count; ++c) {
          load_floats<streamed, threads>(
              rows + (1 + labels + c) * streamed,
              chains.weights + ((range[0].first + c) * s.heads + head) * p.rows.padded + first,
              thread);
        }
      }
    }
    ptx::copy_async_commit();  // an empty group keeps the count of groups that is waited for
  };
  key_tile.template load_rows<Pass::keys, threads>(p.source(p.key, item, head, s.num_keys),
                                                   first_key, thread);
  value_tile.template load_rows<Pass::keys, threads>(p.source(p.value, item, head, s.num_keys),
                                                     first_key, thread);
#pragma unroll
  for (int tile = 0; tile < stages - 1; ++tile) load_stage(tile);

  using Sums = typename Pass::Sums;
  std::conditional_t<capture, Sums, int> sums{};
  if constexpr (capture) {
    sums = Sums(memory.take<float>(Sums::floats(stage_chains)), range_count);
  }
  const int warp_row = warp_index() * 16;
  // A warp whose keys all lie beyond the last one only helps to load, and with its share of dQ.
  const bool works = one_pass || first_key + warp_row < s.num_keys;
  typename Pass::KeyStrip keys[1];
  typename Pass::ValueStrip values[1];
  StripSums<head_dim / 8> key_gradient[labels], value_gradient[labels];
  clear(key_gradient);
  clear(value_gradient);
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    ptx::copy_async_wait<stages - 2>();
    __syncthreads();  // this stage is filled, and everyone has left the one that is filled next
    load_stage(tile + stages - 1);
    if (!works) continue;
    if (tile == 0) {
      keys[0] = {key_tile, warp_row};
      values[0] = {value_tile, warp_row};
    }
    const Shared<float> rows = row_stages + tile % stages * Pass::row_floats(stage_chains);
#pragma unroll 1
    for (int first = 0; first < streamed; first += part) {
      const int row = tile % stages * streamed + first;
      StripSums<part / 8> attention[1], gradient[labels];
      clear(attention);
      Product::scores(attention, keys, query_stages, row);
#pragma unroll
      for (int n = 0; n < part / 8; ++n) {
        const float2 shifts =
            (rows + (first + StripSums<1>::column(n, 0))).template as<float2>()[0];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float& a = attention[0].sum[n][e];
          a = softmax_exp2<Element>(fmaf(p.scale_log2e, a, e % 2 == 0 ? shifts.x : shifts.y));
        }
      }
      clear(gradient);
#pragma unroll
      for (int l = 0; l < labels; ++l) {
        const int gradient_row = (tile % stages * labels + l) * streamed + first;
        Product::scores(alone(gradient[l]), values, gradient_stages, gradient_row);
        if constexpr (capture) {
          for (int c = 0; c < range[l].count; ++c) {
            const int chain = range[l].first - range[0].first + c;
            sums.template add<false>(chain, rows + ((1 + labels + chain) * streamed + first),
                                     attention, alone(gradient[l]));
          }
        }
        Product::accumulate(alone(value_gradient[l]), attention, staging, gradient_stages,
                            gradient_row);
#pragma unroll
        for (int n = 0; n < part / 8; ++n) {
          const float2 dots = (rows + ((1 + l) * streamed + first + StripSums<1>::column(n, 0)))
                                  .template as<float2>()[0];
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            float& g = gradient[l].sum[n][e];
            g = attention[0].sum[n][e] * (g - (e % 2 == 0 ? dots.x : dots.y));
          }
        }
      }
      Product::accumulate(key_gradient, gradient, staging, query_stages, row);
      if constexpr (one_pass) {
        Product::store_rows(gradient[0], score_gradient, warp_row, first,
                            s.num_keys - first_key);  // keys beyond the last: 0
      }
    }
    if constexpr (one_pass) {
      __syncthreads();  // dS of all the block's keys is there
      const int strip = warp_index() % Pass::query_strips * 16;
      const int column = warp_index() / Pass::query_strips * Pass::query_columns;
      StripSums<Pass::query_columns / 8> query_gradient;
      query_gradient.clear();
      Product::accumulate_transposed(query_gradient, score_gradient, strip, key_tile, column,
                                     Pass::keys);
      add_strip(query_gradient,
                p.query_sums + set * s.num_queries * s.heads * s.head_dim + head * s.head_dim,
                s.heads * s.head_dim, static_cast<index_t>(tile) * streamed + strip, s.num_queries,
                column, static_cast<int>(s.head_dim));
    }
  }
  if (!works) return;
#pragma unroll
  for (int l = 0; l < labels; ++l) {
    store_strip(key_gradient[l], p.scale, p.target(p.key_gradient, set + l, head, s.num_keys),
                first_key + warp_row);
    store_strip(value_gradient[l], 1.f, p.target(p.value_gradient, set + l, head, s.num_keys),
                first_key + warp_row);
  }
  if constexpr (capture) {
    for (int c = 0; c < range_count; ++c) {
      sums.store(c, chains.sums + ((range[0].first + c) * s.heads + head) * s.num_keys,
                 first_key + warp_row, s.num_keys);
    }
  }
}

}  // namespace vitsnna::kernels::cuda
