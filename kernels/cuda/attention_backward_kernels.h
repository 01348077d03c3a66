// The two passes of the attention backward. Key stationary: a block keeps a tile of keys and values
// and meets every query, adding up dK and dV. Query stationary: a block keeps a tile of queries and
// meets every key, adding up dQ. Each sum has one owner and one order: no atomics, the same bits
// every time. Included by the two files that instantiate it, one a precision.
#pragma once

#include <type_traits>

#include "kernels/cuda/attention_backward_tiles.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {

/// Kernel argument of both passes.
template <class Element>
struct BackwardOperands {
  Rows<const Element> query, key, value, output_gradient;
  Rows<Element> query_gradient, key_gradient, value_gradient;
  PreparedRows rows;
  AttentionShape shape;
  index_t gradients = 1;
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

/// How the blocks of both passes are cut, for heads of up to head_dim columns (fewer are padded
/// with zeros). `kept` rows stay (keys, or queries), `streamed` rows pass by `part` at a time: what
/// the registers hold of S and G.
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

template <class Element, int head_dim>
struct KeyPass : BackwardTiles<Element, head_dim> {
  using Base = BackwardTiles<Element, head_dim>;
  using Tile = typename Base::Tile;
  static constexpr int strips = 1;  ///< of 16 keys, a warp
  static constexpr int warp_keys = 16 * strips;
  static constexpr int keys = Base::warps * warp_keys;
  /// dK and dV take head_dim registers a strip: K and V fragments stay beside them up to here.
  using Strip = typename Base::template Strip<(head_dim <= 64)>;
  static constexpr int resident_blocks = Base::is_bf16 && head_dim <= 64 ? 3
                                         : head_dim <= 96                ? 2
                                                                         : 1;
  using Sums = ChainSums<Base::warps, strips>;

  /// Of a stage: shift and D, then the chains' weights.
  static constexpr int row_floats(int chains) { return (2 + chains) * Base::streamed; }
  static constexpr int bytes(int chains) {
    return 2 * Tile::bytes(keys) + 2 * Base::stages * Tile::bytes(Base::streamed) +
           shared_bytes<float>(Base::stages * row_floats(chains)) +
           Base::warps * Base::Staging::bytes_per_warp +
           (chains > 0 ? shared_bytes<float>(Sums::floats(chains)) : 0);
  }
};

template <class Element, int head_dim>
struct QueryPass : BackwardTiles<Element, head_dim> {
  using Base = BackwardTiles<Element, head_dim>;
  using Tile = typename Base::Tile;
  static constexpr int strips = Base::is_bf16 && head_dim <= 64 ? 2 : 1;  ///< of 16 queries, a warp
  static constexpr int warp_queries = 16 * strips;
  static constexpr int queries = Base::warps * warp_queries;
  static_assert(kPreparedRows % queries == 0);
  using Strip = typename Base::template Strip<(head_dim <= 96)>;
  static constexpr int resident_blocks = head_dim <= 96 ? 2 : 1;
  static constexpr int bytes = 2 * Tile::bytes(queries) +
                               2 * Base::stages * Tile::bytes(Base::streamed) +
                               Base::warps * Base::Staging::bytes_per_warp;
};

/// Tiles are transposed, rows are keys:
///   S^T = K Q^T;  A^T = 2^(scale log2(e) S^T + shift);  G^T = V dO^T
///   dV = A^T dO;  dK = scale (A^T (G^T - D)) Q
/// so that A^T and dS^T are A operands as they stand in the accumulators. With `capture` the chains
/// of this gradient are summed up out of the same A and G.
template <class Element, int head_dim, bool capture>
__global__ void __launch_bounds__(KeyPass<Element, head_dim>::threads,
                                  KeyPass<Element, head_dim>::resident_blocks)
    attention_backward_keys_kernel(BackwardOperands<Element> p, index_t key_tiles,
                                   std::conditional_t<capture, ChainBatch, int> chains) {
  using Pass = KeyPass<Element, head_dim>;
  using Tile = typename Pass::Tile;
  using Product = typename Pass::Product;
  constexpr int streamed = Pass::streamed, part = Pass::part, strips = Pass::strips;
  constexpr int threads = Pass::threads, stages = Pass::stages;
  const AttentionShape& s = p.shape;
  const int thread = static_cast<int>(threadIdx.x);
  const index_t first_key = blockIdx.x % key_tiles * Pass::keys;
  const index_t head = blockIdx.x / key_tiles % s.heads;
  const index_t set = blockIdx.x / key_tiles / s.heads;  // item * gradients + gradient
  const index_t item = set / p.gradients;

  int stage_chains = 0;  // room for chains in a stage
  ChainRange range;      // those of this block's gradient
  if constexpr (capture) {
    stage_chains = chains.most_of_a_gradient;
    range = chains_of_gradient(chains, set % p.gradients);
  }
  SharedMemory memory;
  const Tile key_tile = Tile::take(memory, Pass::keys);
  const Tile value_tile = Tile::take(memory, Pass::keys);
  const Tile query_stages = Tile::take(memory, stages * streamed);
  const Tile gradient_stages = Tile::take(memory, stages * streamed);
  const auto row_stages = memory.take<float>(stages * Pass::row_floats(stage_chains));
  const auto staging = Pass::Staging::take(memory, Pass::warps, warp_index());

  const TileSource<Element> query = p.source(p.query, item, head, s.num_queries);
  const TileSource<Element> output_gradient = p.source(p.output_gradient, set, head, s.num_queries);
  const float* shift = p.rows.shift + (item * s.heads + head) * p.rows.padded;
  const float* row_dot = p.rows.row_dot + (set * s.heads + head) * p.rows.padded;
  const int tiles = static_cast<int>(ceil_div(s.num_queries, streamed));
  const auto load_stage = [&](int tile) {
    if (tile < tiles) {
      const index_t first = static_cast<index_t>(tile) * streamed;
      const int stage = tile % stages;
      query_stages.from_row(stage * streamed)
          .template load_rows<streamed, threads>(query, first, thread);
      gradient_stages.from_row(stage * streamed)
          .template load_rows<streamed, threads>(output_gradient, first, thread);
      const Shared<float> rows = row_stages + stage * Pass::row_floats(stage_chains);
      load_floats<streamed, threads>(rows, shift + first, thread);
      load_floats<streamed, threads>(rows + streamed, row_dot + first, thread);
      if constexpr (capture) {
        for (int c = 0; c < range.count; ++c) {
          load_floats<streamed, threads>(
              rows + (2 + c) * streamed,
              chains.weights + ((range.first + c) * s.heads + head) * p.rows.padded + first,
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
    sums = Sums(memory.take<float>(Sums::floats(stage_chains)), range.count);
  }
  const int warp_row = warp_index() * Pass::warp_keys;
  // A warp whose keys all lie beyond the last one only helps to load.
  const bool works = first_key + warp_row < s.num_keys;
  typename Pass::Strip keys[strips], values[strips];
  StripSums<head_dim / 8> key_gradient[strips], value_gradient[strips];
  clear(key_gradient);
  clear(value_gradient);
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    ptx::copy_async_wait<stages - 2>();
    __syncthreads();  // this stage is filled, and everyone has left the one that is filled next
    load_stage(tile + stages - 1);
    if (!works) continue;
    if (tile == 0) {
#pragma unroll
      for (int strip = 0; strip < strips; ++strip) {
        keys[strip] = {key_tile, warp_row + 16 * strip};
        values[strip] = {value_tile, warp_row + 16 * strip};
      }
    }
    const Shared<float> rows = row_stages + tile % stages * Pass::row_floats(stage_chains);
#pragma unroll 1
    for (int first = 0; first < streamed; first += part) {
      const int row = tile % stages * streamed + first;
      StripSums<part / 8> attention[strips], gradient[strips];
      clear(attention);
      Product::scores(attention, keys, query_stages, row);
#pragma unroll
      for (int n = 0; n < part / 8; ++n) {
        const float2 shifts =
            (rows + (first + StripSums<1>::column(n, 0))).template as<float2>()[0];
#pragma unroll
        for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            float& a = attention[strip].sum[n][e];
            a = softmax_exp2<Element>(fmaf(p.scale_log2e, a, e % 2 == 0 ? shifts.x : shifts.y));
          }
        }
      }
      clear(gradient);
      Product::scores(gradient, values, gradient_stages, row);
      if constexpr (capture) {
        for (int c = 0; c < range.count; ++c) {
          sums.template add<false>(c, rows + ((2 + c) * streamed + first), attention, gradient);
        }
      }
      Product::accumulate(value_gradient, attention, staging, gradient_stages, row);
#pragma unroll
      for (int n = 0; n < part / 8; ++n) {
        const float2 dots =
            (rows + (streamed + first + StripSums<1>::column(n, 0))).template as<float2>()[0];
#pragma unroll
        for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            float& g = gradient[strip].sum[n][e];
            g = attention[strip].sum[n][e] * (g - (e % 2 == 0 ? dots.x : dots.y));
          }
        }
      }
      Product::accumulate(key_gradient, gradient, staging, query_stages, row);
    }
  }
  if (!works) return;
  const StripTarget<Element> to_key = p.target(p.key_gradient, set, head, s.num_keys);
  const StripTarget<Element> to_value = p.target(p.value_gradient, set, head, s.num_keys);
#pragma unroll
  for (int strip = 0; strip < strips; ++strip) {
    const index_t first = first_key + warp_row + 16 * strip;
    store_strip(key_gradient[strip], p.scale, to_key, first);
    store_strip(value_gradient[strip], 1.f, to_value, first);
  }
  if constexpr (capture) {
    for (int c = 0; c < range.count; ++c) {
      sums.store(c, chains.sums + ((range.first + c) * s.heads + head) * s.num_keys,
                 first_key + warp_row, s.num_keys);
    }
  }
}

/// S = Q K^T;  A = 2^(scale log2(e) S + shift);  G = dO V^T;  dQ = scale (A (G - D)) K
template <class Element, int head_dim>
__global__ void __launch_bounds__(QueryPass<Element, head_dim>::threads,
                                  QueryPass<Element, head_dim>::resident_blocks)
    attention_backward_queries_kernel(BackwardOperands<Element> p, index_t query_tiles) {
  using Pass = QueryPass<Element, head_dim>;
  using Tile = typename Pass::Tile;
  using Product = typename Pass::Product;
  constexpr int streamed = Pass::streamed, part = Pass::part, strips = Pass::strips;
  constexpr int threads = Pass::threads, stages = Pass::stages;
  const AttentionShape& s = p.shape;
  const int thread = static_cast<int>(threadIdx.x);
  const index_t first_query = blockIdx.x % query_tiles * Pass::queries;
  const index_t head = blockIdx.x / query_tiles % s.heads;
  const index_t set = blockIdx.x / query_tiles / s.heads;  // item * gradients + gradient
  const index_t item = set / p.gradients;

  SharedMemory memory;
  const Tile query_tile = Tile::take(memory, Pass::queries);
  const Tile gradient_tile = Tile::take(memory, Pass::queries);
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
  gradient_tile.template load_rows<Pass::queries, threads>(
      p.source(p.output_gradient, set, head, s.num_queries), first_query, thread);
#pragma unroll
  for (int tile = 0; tile < stages - 1; ++tile) load_stage(tile);

  const int warp_row = warp_index() * Pass::warp_queries;
  const bool works = first_query + warp_row < s.num_queries;
  typename Pass::Strip queries[strips], gradients[strips];
  float shift[strips][2], row_dot[strips][2];
#pragma unroll
  for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const index_t i = first_query + warp_row + 16 * strip + StripSums<1>::row(2 * half);
      shift[strip][half] = p.rows.shift[(item * s.heads + head) * p.rows.padded + i];
      row_dot[strip][half] = p.rows.row_dot[(set * s.heads + head) * p.rows.padded + i];
    }
  }
  StripSums<head_dim / 8> query_gradient[strips];
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
        gradients[strip] = {gradient_tile, warp_row + 16 * strip};
      }
    }
#pragma unroll 1
    for (int first = 0; first < streamed; first += part) {
      const int row = tile % stages * streamed + first;
      StripSums<part / 8> attention[strips], gradient[strips];
      clear(attention);
      Product::scores(attention, queries, key_stages, row);
      clear(gradient);
      Product::scores(gradient, gradients, value_stages, row);
      // Keys beyond the last are zero rows with a score of 0: their A may be anything.
      const index_t left = s.num_keys - (static_cast<index_t>(tile) * streamed + first);
#pragma unroll
      for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
        for (int n = 0; n < part / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const float a = softmax_exp2<Element>(
                fmaf(p.scale_log2e, attention[strip].sum[n][e], shift[strip][e / 2]));
            float& g = gradient[strip].sum[n][e];
            g = a * (g - row_dot[strip][e / 2]);
          }
        }
      }
      if (left < part) {
#pragma unroll
        for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
          for (int n = 0; n < part / 8; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              if (StripSums<1>::column(n, e) >= left) gradient[strip].sum[n][e] = 0.f;
            }
          }
        }
      }
      Product::accumulate(query_gradient, gradient, staging, key_stages, row);
    }
  }
  if (!works) return;
  const StripTarget<Element> to = p.target(p.query_gradient, set, head, s.num_queries);
#pragma unroll
  for (int strip = 0; strip < strips; ++strip) {
    store_strip(query_gradient[strip], p.scale, to, first_query + warp_row + 16 * strip);
  }
}

template <class Element, int head_dim>
void launch_backward_tiles(Queue& queue, const AttentionBackward& args, const PreparedRows& rows,
                           const ChainBatch* chains) {
  const char* name = op_name(args);
  const AttentionShape& s = args.shape;
  BackwardOperands<Element> p;
  p.query = Rows<const Element>(args.query);
  p.key = Rows<const Element>(args.key);
  p.value = Rows<const Element>(args.value);
  p.output_gradient = Rows<const Element>(args.output_gradient);
  p.query_gradient = Rows<Element>(args.query_gradient);
  p.key_gradient = Rows<Element>(args.key_gradient);
  p.value_gradient = Rows<Element>(args.value_gradient);
  p.rows = rows;
  p.shape = s;
  p.gradients = args.gradients;
  p.scale = softmax_scale(s.head_dim);
  p.scale_log2e = softmax_scale_log2e(s.head_dim);
  p.aligned = rows_are_aligned(args.query) && rows_are_aligned(args.key) &&
              rows_are_aligned(args.value) && rows_are_aligned(args.output_gradient);
  p.gradients_aligned = rows_are_aligned(args.query_gradient) &&
                        rows_are_aligned(args.key_gradient) &&
                        rows_are_aligned(args.value_gradient);
  const index_t sets = s.items * args.gradients;

  const auto start_keys = [&]<bool capture>(const auto& captured) {
    using Keys = KeyPass<Element, head_dim>;
    const index_t key_tiles = ceil_div(s.num_keys, Keys::keys);
    const LaunchShape blocks{dim3(grid_extent(name, key_tiles * s.heads * sets)), Keys::threads,
                             Keys::bytes(chains ? chains->most_of_a_gradient : 0)};
    launch<attention_backward_keys_kernel<Element, head_dim, capture>>(name, queue, blocks, p,
                                                                       key_tiles, captured);
  };
  if (chains) {
    start_keys.template operator()<true>(*chains);
  } else {
    start_keys.template operator()<false>(0);
  }
  using Queries = QueryPass<Element, head_dim>;
  const index_t query_tiles = ceil_div(s.num_queries, Queries::queries);
  const LaunchShape blocks{dim3(grid_extent(name, query_tiles * s.heads * sets)), Queries::threads,
                           Queries::bytes};
  launch<attention_backward_queries_kernel<Element, head_dim>>(name, queue, blocks, p, query_tiles);
}

/// The smallest instantiation that holds a head: 32, 64, 96 or 128 columns.
template <class Element>
void launch_backward_dims(Queue& queue, const AttentionBackward& args, const PreparedRows& rows,
                          const ChainBatch* chains) {
  if (args.shape.head_dim <= 32) {
    launch_backward_tiles<Element, 32>(queue, args, rows, chains);
  } else if (args.shape.head_dim <= 64) {
    launch_backward_tiles<Element, 64>(queue, args, rows, chains);
  } else if (args.shape.head_dim <= 96) {
    launch_backward_tiles<Element, 96>(queue, args, rows, chains);
  } else {
    launch_backward_tiles<Element, 128>(queue, args, rows, chains);
  }
}

}  // namespace vitsnna::kernels::cuda
