// Attention forward for many queries: a block keeps a tile of query rows and meets every key, tile
// by tile, with an online softmax. Included by the two files that instantiate it, one a precision.
#pragma once

#include <cmath>

#include "kernels/attention.h"
#include "kernels/cuda/attention_forward_tiles.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"
#include "kernels/cuda/warp_product.h"

namespace vitsnna::kernels::cuda {

/// How a block is cut, for heads of up to head_dim columns (fewer are padded with zeros). What a
/// row is multiplied with and in which order does not depend on `strips`: neither do its bits.
template <class Element, int head_dim_, int strips_>
struct ForwardTiles {
  static constexpr bool is_bf16 = sizeof(Element) == 2;
  static constexpr int head_dim = head_dim_;
  static constexpr int strips = strips_;  ///< of 16 query rows, a warp
  static constexpr int warps = 4;
  static constexpr int threads = warps * kWarpSize;
  static constexpr int warp_queries = 16 * strips;
  static constexpr int queries = warps * warp_queries;
  static constexpr int keys = is_bf16 && head_dim <= 64 ? 64 : 32;  ///< of a tile
  static constexpr int key_tiles = keys / 8;
  static constexpr int stages = 2;
  /// What registers are spent for: blocks on an SM.
  static constexpr int resident_blocks = is_bf16 && head_dim <= 64 && strips == 1 ? 3 : 2;
  /// Query fragments stay in registers where two strips leave room for them.
  static constexpr bool query_in_registers = is_bf16 && head_dim <= 64;

  using Product = WarpProduct<Element>;
  using Tile = SharedTile<Element, head_dim>;
  using Staging = typename Product::template Staging<keys>;
  static constexpr int shared_bytes =
      Tile::bytes(queries) + 2 * stages * Tile::bytes(keys) + warps * Staging::bytes_per_warp;
};

template <bool in_registers, class Product, int head_dim>
struct QueryStrip {
  using type = typename Product::template SharedStrip<head_dim>;
};
template <class Product, int head_dim>
struct QueryStrip<true, Product, head_dim> {
  using type = typename Product::template RegisterStrip<head_dim>;
};

/// The softmax of a warp's rows so far: sums and outputs are relative to 2^reference. A row's
/// reference follows its greatest score only when that has grown by more than `slack`, so most
/// tiles need no rescaling; the quotient output / sum is the same, and 2^slack times the number of
/// keys is far from fp32's range.
template <int strips, int output_tiles>
struct OnlineSoftmax {
  static constexpr float slack = 8.f;

  float reference[strips][2];  ///< of rows g and g + 8 of each strip, in base 2
  float sum[strips][2];        ///< this lane's columns only, until log_sum_exp
  StripSums<output_tiles> output[strips];

  __device__ __forceinline__ void clear() {
    cuda::clear(output);
#pragma unroll
    for (int s = 0; s < strips; ++s) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        reference[s][half] = -INFINITY;
        sum[s][half] = 0.f;
      }
    }
  }

  /// Scores S of a tile of keys into P = 2^(scale_log2e S - reference).
  template <class Element, int key_tiles>
  __device__ __forceinline__ void exponentials(StripSums<key_tiles> (&scores)[strips],
                                               float scale_log2e) {
    float correction[strips][2];
    bool rescales = false;
#pragma unroll
    for (int s = 0; s < strips; ++s) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float maximum = scores[s].sum[0][2 * half];
#pragma unroll
        for (int n = 0; n < key_tiles; ++n) {
          maximum = fmaxf(maximum, scores[s].sum[n][2 * half]);
          maximum = fmaxf(maximum, scores[s].sum[n][2 * half + 1]);
        }
        maximum = scale_log2e * row_max(maximum);
        float& old = reference[s][half];
        const bool moves = maximum > old + slack;
        correction[s][half] = moves ? softmax_exp2<Element>(old - maximum) : 1.f;
        old = moves ? maximum : old;
        rescales = rescales || moves;
      }
    }
    if (rescales) {  // a row that did not move is multiplied by one
#pragma unroll
      for (int s = 0; s < strips; ++s) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
#pragma unroll
          for (int n = 0; n < output_tiles; ++n) output[s].sum[n][e] *= correction[s][e / 2];
        }
        sum[s][0] *= correction[s][0];
        sum[s][1] *= correction[s][1];
      }
    }
#pragma unroll
    for (int s = 0; s < strips; ++s) {
#pragma unroll
      for (int n = 0; n < key_tiles; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float& p = scores[s].sum[n][e];
          p = softmax_exp2<Element>(fmaf(p, scale_log2e, -reference[s][e / 2]));
          sum[s][e / 2] += p;
        }
      }
    }
  }
};

/// Operands of a block: one item, one head.
template <class Element>
struct ForwardOperands {
  Rows<const Element> query, key, value;
  Rows<Element> output;
  float* log_sum_exp = nullptr;
  const std::uint8_t* key_keep = nullptr;
  const std::uint8_t* query_keep = nullptr;
  AttentionShape shape;
  float scale_log2e = 1.f;
  bool aligned = false;  ///< query, key and value
  bool output_aligned = false;
};

template <class Element, int head_dim, int strips>
__global__ void __launch_bounds__(ForwardTiles<Element, head_dim, strips>::threads,
                                  ForwardTiles<Element, head_dim, strips>::resident_blocks)
    attention_forward_kernel(ForwardOperands<Element> p, index_t query_tiles) {
  using Tiles = ForwardTiles<Element, head_dim, strips>;
  using Tile = typename Tiles::Tile;
  using Product = typename Tiles::Product;
  using Strip = typename QueryStrip<Tiles::query_in_registers, Product, head_dim>::type;
  constexpr int keys = Tiles::keys, stages = Tiles::stages, threads = Tiles::threads;
  SharedMemory memory;
  const Tile query_tile = Tile::take(memory, Tiles::queries);
  const Tile key_stages = Tile::take(memory, stages * keys);
  const Tile value_stages = Tile::take(memory, stages * keys);
  const auto staging = Tiles::Staging::take(memory, Tiles::warps, warp_index());

  const AttentionShape& s = p.shape;
  const int thread = static_cast<int>(threadIdx.x);
  const index_t first_query = blockIdx.x % query_tiles * Tiles::queries;
  const index_t head = blockIdx.x / query_tiles % s.heads;
  const index_t item = blockIdx.x / query_tiles / s.heads;
  const int columns = static_cast<int>(s.head_dim);
  const index_t column = head * s.head_dim;
  const TileSource<Element> query{p.query.row(item, 0) + column, p.query.row_stride, s.num_queries,
                                  columns, p.aligned};
  const TileSource<Element> key{p.key.row(item, 0) + column, p.key.row_stride, s.num_keys, columns,
                                p.aligned};
  // A masked key stays in the softmax and adds nothing to the output: its value row is zero.
  const TileSource<Element> value{p.value.row(item, 0) + column,
                                  p.value.row_stride,
                                  s.num_keys,
                                  columns,
                                  p.aligned,
                                  p.key_keep ? p.key_keep + item * s.num_keys : nullptr};

  const int tiles = static_cast<int>(ceil_div(s.num_keys, keys));
  const auto load_stage = [&](int tile) {
    if (tile < tiles) {
      const index_t first = static_cast<index_t>(tile) * keys;
      const int row = tile % stages * keys;
      key_stages.from_row(row).template load_rows<keys, threads>(key, first, thread);
      value_stages.from_row(row).template load_rows<keys, threads>(value, first, thread);
    }
    ptx::copy_async_commit();  // an empty group keeps the count of groups that is waited for
  };
  query_tile.template load_rows<Tiles::queries, threads>(query, first_query, thread);
#pragma unroll
  for (int tile = 0; tile < stages - 1; ++tile) load_stage(tile);

  const int warp_row = warp_index() * Tiles::warp_queries;
  // A warp whose rows all lie beyond the last query only helps to load.
  const bool works = first_query + warp_row < s.num_queries;
  Strip query_strips[strips];
  OnlineSoftmax<strips, head_dim / 8> softmax;
  softmax.clear();
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    ptx::copy_async_wait<stages - 2>();
    __syncthreads();  // this stage is filled, and everyone has left the one that is filled next
    load_stage(tile + stages - 1);
    if (!works) continue;
    if (tile == 0) {
#pragma unroll
      for (int strip = 0; strip < strips; ++strip) {
        query_strips[strip] = Strip(query_tile, warp_row + 16 * strip);
      }
    }
    const int row = tile % stages * keys;
    StripSums<Tiles::key_tiles> scores[strips];
    clear(scores);
    Product::scores(scores, query_strips, key_stages, row);
    if (const int left = static_cast<int>(s.num_keys - static_cast<index_t>(tile) * keys);
        left < keys) {
#pragma unroll
      for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
        for (int n = 0; n < Tiles::key_tiles; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            if (scores[strip].column(n, e) >= left) scores[strip].sum[n][e] = -INFINITY;
          }
        }
      }
    }
    softmax.template exponentials<Element>(scores, p.scale_log2e);
    Product::accumulate(softmax.output, scores, staging, value_stages, row);
  }
  if (!works) return;

  const StripTarget<Element> output{p.output.row(item, 0) + column, p.output.row_stride,
                                    s.num_queries, columns, p.output_aligned};
#pragma unroll
  for (int strip = 0; strip < strips; ++strip) {
    const index_t first = first_query + warp_row + 16 * strip;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const index_t i = first + softmax.output[strip].row(2 * half);
      const float sum = row_sum(softmax.sum[strip][half]);
      const bool inside = i < s.num_queries;
      const bool kept = inside && (!p.query_keep || p.query_keep[item * s.num_queries + i] != 0);
      const float factor = kept ? 1.f / sum : 0.f;
#pragma unroll
      for (int n = 0; n < head_dim / 8; ++n) {
        softmax.output[strip].sum[n][2 * half] *= factor;
        softmax.output[strip].sum[n][2 * half + 1] *= factor;
      }
      if (inside && p.log_sum_exp && lane_index() % 4 == 0) {
        p.log_sum_exp[(item * s.heads + head) * s.num_queries + i] =
            softmax.reference[strip][half] * ln_2 + logf(sum);
      }
    }
    store_strip(softmax.output[strip], 1.f, output, first);
  }
}

/// From this many blocks of 128 rows on (one an SM of the largest GPU today) they are the better
/// ones: below, blocks of 64 rows reach more SMs than their shared memory traffic costs.
constexpr index_t least_large_grid = 132;

template <class Element, int head_dim>
void launch_forward_tiles(Queue& queue, const AttentionForward& args) {
  constexpr const char* name = "attention_forward";
  const AttentionShape& s = args.shape;
  ForwardOperands<Element> operands;
  operands.query = Rows<const Element>(args.query);
  operands.key = Rows<const Element>(args.key);
  operands.value = Rows<const Element>(args.value);
  operands.output = Rows<Element>(args.output);
  operands.log_sum_exp = args.log_sum_exp;
  operands.key_keep = args.key_keep;
  operands.query_keep = args.query_keep;
  operands.shape = s;
  operands.scale_log2e = softmax_scale_log2e(s.head_dim);
  operands.aligned =
      rows_are_aligned(args.query) && rows_are_aligned(args.key) && rows_are_aligned(args.value);
  operands.output_aligned = rows_are_aligned(args.output);
  const auto start = [&]<int strips>() {
    using Tiles = ForwardTiles<Element, head_dim, strips>;
    const index_t query_tiles = ceil_div(s.num_queries, Tiles::queries);
    const LaunchShape shape{dim3(grid_extent(name, query_tiles * s.heads * s.items)),
                            Tiles::threads, Tiles::shared_bytes};
    launch<attention_forward_kernel<Element, head_dim, strips>>(name, queue, shape, operands,
                                                                query_tiles);
  };
  // Two strips of 128 columns in fp32 do not fit the registers.
  if constexpr (ForwardTiles<Element, head_dim, 2>::is_bf16 || head_dim < 128) {
    const index_t query_tiles =
        ceil_div(s.num_queries, ForwardTiles<Element, head_dim, 2>::queries);
    if (query_tiles * s.heads * s.items >= least_large_grid) return start.template operator()<2>();
  }
  start.template operator()<1>();
}

/// The smallest instantiation that holds a head: 32, 64, 96 or 128 columns.
template <class Element>
void launch_forward_dims(Queue& queue, const AttentionForward& args) {
  if (args.shape.head_dim <= 32) return launch_forward_tiles<Element, 32>(queue, args);
  if (args.shape.head_dim <= 64) return launch_forward_tiles<Element, 64>(queue, args);
  if (args.shape.head_dim <= 96) return launch_forward_tiles<Element, 96>(queue, args);
  launch_forward_tiles<Element, 128>(queue, args);
}

}  // namespace vitsnna::kernels::cuda
