// The two-product relevance kernel, key stationary: a block keeps a tile of keys and values of one
// head and meets every query; each tile of A is weighed by the G of every gradient and summed up
// for every chain.
#include <algorithm>
#include <string>

#include "kernels/cuda/attention_prepare.h"
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/relevance_chains.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

template <class Element>
struct Operands {
  Rows<const Element> query, key, value, output_gradient;
  const float* shift = nullptr;  ///< (heads, padded), PreparedRows
  index_t padded = 0;
  index_t heads = 1, tokens = 0, gradients = 1;
  int head_dim = 64;
  float scale_log2e = 1.f;
  bool aligned = false;

  __device__ __forceinline__ TileSource<Element> source(const Rows<const Element>& operand,
                                                        index_t item, index_t head) const {
    return {operand.row(item, 0) + head * head_dim, operand.row_stride, tokens, head_dim, aligned};
  }
};

/// How a block is cut. A of a whole tile stays in registers while the gradients pass.
template <class Element, int head_dim_>
struct RelevanceTiles {
  static constexpr bool is_bf16 = sizeof(Element) == 2;
  static constexpr int head_dim = head_dim_;
  static constexpr int warps = 4;
  static constexpr int threads = warps * kWarpSize;
  static constexpr int strips = is_bf16 && head_dim <= 64 ? 2 : 1;  ///< of 16 keys, a warp
  static constexpr int warp_keys = 16 * strips;
  static constexpr int keys = warps * warp_keys;
  static constexpr int queries = 32;  ///< of a tile
  static constexpr int stages = 2;
  static constexpr int resident_blocks = 2;

  using Product = WarpProduct<Element>;
  using Tile = SharedTile<Element, head_dim>;
  using Strip = typename Product::template RegisterStrip<head_dim>;
  using Sums = ChainSums<warps, strips>;
  static constexpr int row_floats(int chains) { return (1 + chains) * queries; }
  static constexpr int bytes(int chains) {
    return 2 * Tile::bytes(keys) + 2 * stages * Tile::bytes(queries) +
           shared_bytes<float>(stages * row_floats(chains)) +
           shared_bytes<float>(Sums::floats(chains));
  }
};

/// S^T = K Q^T;  A^T = 2^(scale log2(e) S^T + shift);  G^T = V dO^T of every gradient. Step
/// `tile * gradients + gradient` streams dO, and with the tile's first gradient Q and the rows'
/// figures.
template <class Element, int head_dim, bool gradient_is_one>
__global__ void __launch_bounds__(RelevanceTiles<Element, head_dim>::threads,
                                  RelevanceTiles<Element, head_dim>::resident_blocks)
    relevance_rows_kernel(Operands<Element> p, ChainBatch chains, index_t key_tiles) {
  using Tiles = RelevanceTiles<Element, head_dim>;
  using Tile = typename Tiles::Tile;
  using Product = typename Tiles::Product;
  constexpr int rows_of_tile = Tiles::queries, strips = Tiles::strips, stages = Tiles::stages;
  constexpr int threads = Tiles::threads, sum_tiles = rows_of_tile / 8;
  static_assert(stages == 2, "a step waits for all that was started before it");
  const int thread = static_cast<int>(threadIdx.x);
  const index_t first_key = blockIdx.x % key_tiles * Tiles::keys;
  const index_t head = blockIdx.x / key_tiles;

  SharedMemory memory;
  const Tile key_tile = Tile::take(memory, Tiles::keys);
  const Tile value_tile = Tile::take(memory, Tiles::keys);
  const Tile query_stages = Tile::take(memory, stages * rows_of_tile);
  const Tile gradient_stages = Tile::take(memory, stages * rows_of_tile);
  const auto row_stages = memory.take<float>(stages * Tiles::row_floats(chains.count));
  const auto sum_memory = memory.take<float>(Tiles::Sums::floats(chains.count));

  const TileSource<Element> query = p.source(p.query, 0, head);
  const int gradients = gradient_is_one ? 1 : static_cast<int>(p.gradients);
  const int tiles = static_cast<int>(ceil_div(p.tokens, rows_of_tile));
  const auto load_step = [&](int tile, int gradient) {
    if (tile < tiles) {
      const index_t first = static_cast<index_t>(tile) * rows_of_tile;
      if (gradient == 0) {
        const int stage = tile % stages;
        query_stages.from_row(stage * rows_of_tile)
            .template load_rows<rows_of_tile, threads>(query, first, thread);
        const Shared<float> rows = row_stages + stage * Tiles::row_floats(chains.count);
        load_floats<rows_of_tile, threads>(rows, p.shift + head * p.padded + first, thread);
        for (int c = 0; c < chains.count; ++c) {
          load_floats<rows_of_tile, threads>(
              rows + (1 + c) * rows_of_tile,
              chains.weights + (c * p.heads + head) * p.padded + first, thread);
        }
      }
      if constexpr (!gradient_is_one) {
        gradient_stages.from_row((tile * gradients + gradient) % stages * rows_of_tile)
            .template load_rows<rows_of_tile, threads>(p.source(p.output_gradient, gradient, head),
                                                       first, thread);
      }
    }
    ptx::copy_async_commit();
  };
  key_tile.template load_rows<Tiles::keys, threads>(p.source(p.key, 0, head), first_key, thread);
  if constexpr (!gradient_is_one) {
    value_tile.template load_rows<Tiles::keys, threads>(p.source(p.value, 0, head), first_key,
                                                        thread);
  }
  load_step(0, 0);

  const typename Tiles::Sums sums(sum_memory, chains.count);
  const int warp_row = warp_index() * Tiles::warp_keys;
  // A warp whose keys all lie beyond the last one only helps to load.
  const bool works = first_key + warp_row < p.tokens;
  typename Tiles::Strip keys[strips], values[strips];
  StripSums<sum_tiles> attention[strips], gradient_sums[strips];
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    const Shared<float> rows = row_stages + tile % stages * Tiles::row_floats(chains.count);
    int chain = 0;  // in the order of their gradients
#pragma unroll 1
    for (int gradient = 0; gradient < gradients; ++gradient) {
      ptx::copy_async_wait<0>();
      __syncthreads();  // this step has arrived, and everyone has left what is filled next
      const bool last = gradient + 1 == gradients;
      load_step(last ? tile + 1 : tile, last ? 0 : gradient + 1);
      if (!works) continue;
      if (gradient == 0) {
        if (tile == 0) {
#pragma unroll
          for (int strip = 0; strip < strips; ++strip) {
            keys[strip] = {key_tile, warp_row + 16 * strip};
            if constexpr (!gradient_is_one) values[strip] = {value_tile, warp_row + 16 * strip};
          }
        }
        clear(attention);
        Product::scores(attention, keys, query_stages, tile % stages * rows_of_tile);
#pragma unroll
        for (int n = 0; n < sum_tiles; ++n) {
          const float2 shifts = (rows + StripSums<1>::column(n, 0)).template as<float2>()[0];
#pragma unroll
          for (int strip = 0; strip < strips; ++strip) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              float& a = attention[strip].sum[n][e];
              a = softmax_exp2<Element>(fmaf(p.scale_log2e, a, e % 2 == 0 ? shifts.x : shifts.y));
            }
          }
        }
      }
      if constexpr (!gradient_is_one) {
        clear(gradient_sums);
        Product::scores(gradient_sums, values, gradient_stages,
                        (tile * gradients + gradient) % stages * rows_of_tile);
      }
      for (; chain < chains.count && chains.chain[chain].gradient == gradient; ++chain) {
        sums.template add<gradient_is_one>(chain, rows + (1 + chain) * rows_of_tile, attention,
                                           gradient_sums);
      }
    }
  }
  if (!works) return;
  for (int c = 0; c < chains.count; ++c) {
    sums.store(c, chains.sums + (c * p.heads + head) * p.tokens, first_key + warp_row, p.tokens);
  }
}

template <class Element, int head_dim>
void launch_tiles(Queue& queue, const Operands<Element>& p, const ChainBatch& chains,
                  bool gradient_is_one) {
  constexpr const char* name = "relevance_rows";
  using Tiles = RelevanceTiles<Element, head_dim>;
  const index_t key_tiles = ceil_div(p.tokens, Tiles::keys);
  const LaunchShape blocks{dim3(grid_extent(name, key_tiles * p.heads)), Tiles::threads,
                           Tiles::bytes(chains.count)};
  if (gradient_is_one) {
    launch<relevance_rows_kernel<Element, head_dim, true>>(name, queue, blocks, p, chains,
                                                           key_tiles);
  } else {
    launch<relevance_rows_kernel<Element, head_dim, false>>(name, queue, blocks, p, chains,
                                                            key_tiles);
  }
}

template <class Element>
void launch_dims(Queue& queue, const Operands<Element>& p, const ChainBatch& chains,
                 bool gradient_is_one) {
  if (p.head_dim <= 32) return launch_tiles<Element, 32>(queue, p, chains, gradient_is_one);
  if (p.head_dim <= 64) return launch_tiles<Element, 64>(queue, p, chains, gradient_is_one);
  if (p.head_dim <= 96) return launch_tiles<Element, 96>(queue, p, chains, gradient_is_one);
  launch_tiles<Element, 128>(queue, p, chains, gradient_is_one);
}

bool is_empty(const RelevanceRows& a) {
  return a.num_chains <= 0 || a.num_tokens == 0 || a.heads == 0;
}

struct Scratch {
  PreparedRows rows;
  float* weights = nullptr;
  float* sums = nullptr;
  index_t bytes = 0;

  Scratch(void* memory, const RelevanceRows& a) {
    ScratchLayout layout(memory);
    const index_t chains = std::min<index_t>(kMostChains, a.num_chains);
    rows.padded = prepared_rows(a.num_tokens);
    rows.shift = layout.floats(a.heads * rows.padded);
    weights = layout.floats(chains * a.heads * rows.padded);
    sums = layout.floats(chains * a.heads * a.num_tokens);
    bytes = layout.bytes();
  }
};

}  // namespace

index_t relevance_rows_scratch(const Queue&, const RelevanceRows& args) {
  return is_empty(args) ? 0 : Scratch(nullptr, args).bytes;
}

void relevance_rows(Queue& queue, const RelevanceRows& args) {
  if (is_empty(args)) return;
  const char* name = op_name(args);
  if (args.head_dim > 128 || args.head_dim % 8 != 0) {
    throw Error(std::string(name) + ": head_dim " + std::to_string(args.head_dim) +
                " on CUDA, wanted a multiple of 8 up to 128");
  }
  const Scratch scratch(queue.scratch, args);
  const bool gradient_is_one = args.output_gradient.data == nullptr;
  const AttentionShape shape{1, args.heads, args.head_dim, args.num_tokens, args.num_tokens};
  prepare_rows(name, queue, shape, 1, args.log_sum_exp, args.query, args.query, scratch.rows);
  for (index_t first = 0; first < args.num_chains; first += kMostChains) {
    ChainBatch chains = chain_batch(args, first, !gradient_is_one);
    chains.weights = scratch.weights;
    chains.sums = scratch.sums;
    prepare_chains(name, queue, chains, args.heads, args.num_tokens, scratch.rows.padded);
    with_dtype(args.query.dtype, [&]<class Element>() {
      Operands<Element> p;
      p.query = Rows<const Element>(args.query);
      p.key = Rows<const Element>(args.key);
      p.value = Rows<const Element>(args.value);
      p.output_gradient = Rows<const Element>(args.output_gradient);
      p.shift = scratch.rows.shift;
      p.padded = scratch.rows.padded;
      p.heads = args.heads;
      p.tokens = args.num_tokens;
      p.gradients = args.gradients;
      p.head_dim = static_cast<int>(args.head_dim);
      p.scale_log2e = softmax_scale_log2e(args.head_dim);
      p.aligned = rows_are_aligned(args.query) && rows_are_aligned(args.key) &&
                  (gradient_is_one ||
                   (rows_are_aligned(args.value) && rows_are_aligned(args.output_gradient)));
      launch_dims(queue, p, chains, gradient_is_one);
    });
    finish_chains(name, queue, chains, args.heads, args.num_tokens);
  }
}

}  // namespace vitsnna::kernels::cuda
