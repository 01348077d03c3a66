// Gradients of layer normalisation. With x^ the normalised row and t = gain dy:
//   dx = (t - mean(t) - x^ mean(t x^)) / deviation,  dgain = sum dy x^,  dshift = sum dy.
// A block sums the gain and shift gradients of up to 32 rows of one item into the scratch; the
// blocks of an item are then summed in one order, and the items added in theirs: neither the batch
// nor the schedule changes a bit.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/layer_norm_rows.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/shared.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kRowsPerSum = 32;
constexpr int kThreads = kRowWarps * kWarpSize;

struct Layer {
  Rows<const float> input;
  Rows<float> input_gradient;
  const float* gain;
  float epsilon;
  bool accumulate;
  unsigned input_items;
  unsigned rows;  ///< of an item
  unsigned rows_per_block;
  unsigned blocks_per_item;
  index_t columns;
  float* sums;         ///< (blocks, 2, columns): of dy x^, and of dy; or null
  float2* statistics;  ///< (items, rows) of mean and inverse deviation, of wide rows; or null
};

/// Rows [first, end) of the item that the block works on.
struct BlockRows {
  unsigned item, first, end;
};
__device__ __forceinline__ BlockRows block_rows(const Layer& layer) {
  const unsigned item = blockIdx.x / layer.blocks_per_item;
  const unsigned first = (blockIdx.x - item * layer.blocks_per_item) * layer.rows_per_block;
  const unsigned end = first + layer.rows_per_block;
  return {item, first, end < layer.rows ? end : layer.rows};
}

template <int chunks, bool vector, bool parameters, class Slope>
__global__ void __launch_bounds__(kThreads)
    layer_norm_backward_kernel(Rows<const Slope> output_gradient, Layer layer) {
  const BlockRows block = block_rows(layer);
  const auto columns = static_cast<int>(layer.columns);
  const auto width = static_cast<float>(columns);
  constexpr int sums = parameters ? 4 * chunks : 1;
  float gain_sum[sums] = {}, shift_sum[sums] = {};
  const unsigned input_item = block.item % layer.input_items;
  for (unsigned r = block.first + static_cast<unsigned>(warp_index()); r < block.end;
       r += kRowWarps) {
    float x[4 * chunks], dy[4 * chunks];
    load_row<vector, chunks>(layer.input.row(input_item, r), columns, x);
    load_row<vector, chunks>(output_gradient.row(block.item, r), columns, dy);
    const RowStatistics row = statistics<chunks>(x, columns, layer.epsilon);
    float sum_t = 0.f, sum_tx = 0.f;
#pragma unroll
    for (int k = 0; k < chunks; ++k) {
      float gain[4] = {};
      load_chunk<vector>(layer.gain, chunk_column(k), columns, gain);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int i = 4 * k + j;
        x[i] = (x[i] - row.mean) * row.inverse_deviation;
        if constexpr (parameters) {
          gain_sum[i] += dy[i] * x[i];
          shift_sum[i] += dy[i];
        }
        dy[i] *= gain[j];
        sum_t += dy[i];
        sum_tx += dy[i] * x[i];
      }
    }
    const float mean_t = warp_sum(sum_t) / width, mean_tx = warp_sum(sum_tx) / width;
    float* to = layer.input_gradient.row(block.item, r);
#pragma unroll
    for (int k = 0; k < chunks; ++k) {
      const int column = chunk_column(k);
      float dx[4] = {};
      if (layer.accumulate) load_chunk<vector>(to, column, columns, dx);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int i = 4 * k + j;
        dx[j] += (dy[i] - mean_t - x[i] * mean_tx) * row.inverse_deviation;
      }
      store_chunk<vector>(to, column, columns, dx);
    }
  }
  if constexpr (parameters) {
    SharedMemory memory;
    const Shared<float> block_sums = memory.take<float>(2 * columns);
    for (int warp = 0; warp < kRowWarps; ++warp) {  // one after the other, in one order
      if (warp_index() == warp) {
#pragma unroll
        for (int i = 0; i < 4 * chunks; ++i) {
          const int column = chunk_column(i / 4) + i % 4;
          if (column >= columns) continue;
          const float before_gain = warp == 0 ? 0.f : block_sums[column];
          const float before_shift = warp == 0 ? 0.f : block_sums[columns + column];
          block_sums[column] = before_gain + gain_sum[i];
          block_sums[columns + column] = before_shift + shift_sum[i];
        }
      }
      __syncthreads();
    }
    float* to = layer.sums + static_cast<index_t>(blockIdx.x) * 2 * columns;
    for (int i = static_cast<int>(threadIdx.x); i < 2 * columns; i += kThreads) {
      to[i] = block_sums[i];
    }
  }
}

/// Rows too wide for registers: read again for each pass, from cache but for the first.
template <class Slope>
__global__ void __launch_bounds__(kThreads)
    layer_norm_backward_wide_kernel(Rows<const Slope> output_gradient, Layer layer) {
  const BlockRows block = block_rows(layer);
  const auto width = static_cast<float>(layer.columns);
  for (unsigned r = block.first + static_cast<unsigned>(warp_index()); r < block.end;
       r += kRowWarps) {
    const float* x = layer.input.row(block.item % layer.input_items, r);
    const Slope* dy = output_gradient.row(block.item, r);
    const RowStatistics row = wide_statistics(x, layer.columns, layer.epsilon);
    float sum_t = 0.f, sum_tx = 0.f;
    for (index_t c = lane_index(); c < layer.columns; c += kWarpSize) {
      const float t = load_float(dy + c) * layer.gain[c];
      sum_t += t;
      sum_tx += t * ((x[c] - row.mean) * row.inverse_deviation);
    }
    const float mean_t = warp_sum(sum_t) / width, mean_tx = warp_sum(sum_tx) / width;
    float* to = layer.input_gradient.row(block.item, r);
    for (index_t c = lane_index(); c < layer.columns; c += kWarpSize) {
      const float normalised = (x[c] - row.mean) * row.inverse_deviation;
      const float t = load_float(dy + c) * layer.gain[c];
      const float dx = (t - mean_t - normalised * mean_tx) * row.inverse_deviation;
      to[c] = layer.accumulate ? to[c] + dx : dx;
    }
    if (layer.statistics && lane_index() == 0) {
      layer.statistics[static_cast<index_t>(block.item) * layer.rows + r] =
          make_float2(row.mean, row.inverse_deviation);
    }
  }
}

/// The blocks' sums of wide rows, from the statistics: blocks in x as before, in y columns.
template <class Slope>
__global__ void __launch_bounds__(kThreads)
    layer_norm_wide_sums_kernel(Rows<const Slope> output_gradient, Layer layer) {
  const BlockRows block = block_rows(layer);
  const index_t column = static_cast<index_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (column >= layer.columns) return;
  float gain_sum = 0.f, shift_sum = 0.f;
  for (unsigned r = block.first; r < block.end; ++r) {
    const float2 row = layer.statistics[static_cast<index_t>(block.item) * layer.rows + r];
    const float x = layer.input.row(block.item % layer.input_items, r)[column];
    const float dy = load_float(output_gradient.row(block.item, r) + column);
    gain_sum += dy * ((x - row.x) * row.y);
    shift_sum += dy;
  }
  float* to = layer.sums + static_cast<index_t>(blockIdx.x) * 2 * layer.columns + column;
  to[0] = gain_sum;
  to[layer.columns] = shift_sum;
}

constexpr int kSumWarps = 8;

/// gradient += sums over the blocks of an item, item by item. A lane has a column; warp w takes
/// blocks w, w + 8, .. of an item, and the warps' sums are joined in order. Blocks in y: gain,
/// shift.
__global__ void __launch_bounds__(kSumWarps* kWarpSize)
    layer_norm_join_kernel(const float* sums, unsigned items, unsigned blocks_per_item,
                           index_t columns, float* gain_gradient, float* shift_gradient) {
  float* gradient = blockIdx.y == 0 ? gain_gradient : shift_gradient;
  if (!gradient) return;
  SharedMemory memory;
  const Shared<float> warps = memory.take<float>(kSumWarps * kWarpSize);
  const index_t column = static_cast<index_t>(blockIdx.x) * kWarpSize + lane_index();
  const bool inside = column < columns;
  float total = inside && warp_index() == 0 ? gradient[column] : 0.f;
  const float* from = sums + blockIdx.y * columns + column;
  for (unsigned item = 0; item < items; ++item, from += blocks_per_item * 2 * columns) {
    float sum = 0.f;
    for (unsigned b = static_cast<unsigned>(warp_index()); b < blocks_per_item && inside;
         b += kSumWarps) {
      sum += from[b * 2 * columns];
    }
    warps[static_cast<int>(threadIdx.x)] = sum;
    __syncthreads();
    if (warp_index() == 0) {
      float item_sum = 0.f;
      for (int w = 0; w < kSumWarps; ++w) item_sum += warps[w * kWarpSize + lane_index()];
      total += item_sum;
    }
    __syncthreads();
  }
  if (inside && warp_index() == 0) gradient[column] = total;
}

bool wants_parameters(const LayerNormBackward& a) { return a.gain_gradient || a.shift_gradient; }

index_t sum_blocks(const LayerNormBackward& a) { return a.items * ceil_div(a.rows, kRowsPerSum); }

}  // namespace

index_t layer_norm_backward_scratch(const Queue&, const LayerNormBackward& args) {
  if (!wants_parameters(args)) return 0;
  const index_t statistics = args.columns > kRegisterColumns ? args.items * args.rows : 0;
  return sum_blocks(args) * 2 * args.columns * 4 +
         statistics * static_cast<index_t>(sizeof(float2));
}

void layer_norm_backward(Queue& queue, const LayerNormBackward& args) {
  constexpr const char* name = "layer_norm_backward";
  const bool parameters = wants_parameters(args);
  const bool wide = args.columns > kRegisterColumns;
  const index_t rows_per_block = parameters ? kRowsPerSum : kRowWarps;
  Layer layer{};
  layer.input = Rows<const float>(args.input);
  layer.input_gradient = Rows<float>(args.input_gradient);
  layer.gain = args.gain;
  layer.epsilon = args.epsilon;
  layer.accumulate = args.accumulate;
  layer.input_items = grid_extent(name, args.input_items);
  layer.rows = grid_extent(name, args.rows);
  layer.rows_per_block = static_cast<unsigned>(rows_per_block);
  layer.blocks_per_item = grid_extent(name, args.rows, rows_per_block);
  layer.columns = args.columns;
  if (parameters) {
    layer.sums = static_cast<float*>(queue.scratch);
    if (wide) {
      layer.statistics =
          reinterpret_cast<float2*>(layer.sums + sum_blocks(args) * 2 * args.columns);
    }
  }
  const unsigned blocks = grid_extent(name, args.items * layer.blocks_per_item);
  LaunchShape shape{dim3(blocks), kThreads, 0};
  with_dtype(args.output_gradient.dtype, [&]<class Slope>() {
    const Rows<const Slope> slope(args.output_gradient);
    if (wide) {
      launch<layer_norm_backward_wide_kernel<Slope>>(name, queue, shape, slope, layer);
      if (!parameters) return;
      shape.blocks.y = grid_extent(name, args.columns, kThreads);
      launch<layer_norm_wide_sums_kernel<Slope>>(name, queue, shape, slope, layer);
      return;
    }
    const bool vector = moves_at_once(4, args.columns, args.input, args.output_gradient,
                                      ConstMatrix(args.input_gradient)) &&
                        aligned_for(4, 4, args.gain);
    if (parameters) shape.shared_bytes = shared_bytes<float>(static_cast<int>(2 * args.columns));
    const auto start = [&]<int chunks, bool vector_, bool parameters_>() {
      launch<layer_norm_backward_kernel<chunks, vector_, parameters_, Slope>>(name, queue, shape,
                                                                              slope, layer);
    };
    with_chunks(args.columns, [&]<int chunks>() {
      if (vector && parameters) start.template operator()<chunks, true, true>();
      if (vector && !parameters) start.template operator()<chunks, true, false>();
      if (!vector && parameters) start.template operator()<chunks, false, true>();
      if (!vector && !parameters) start.template operator()<chunks, false, false>();
    });
  });
  if (!parameters) return;
  const LaunchShape join{dim3(grid_extent(name, args.columns, kWarpSize), 2), kSumWarps * kWarpSize,
                         shared_bytes<float>(kSumWarps * kWarpSize)};
  launch<layer_norm_join_kernel>(name, queue, join, static_cast<const float*>(layer.sums),
                                 grid_extent(name, args.items), layer.blocks_per_item, args.columns,
                                 args.gain_gradient, args.shift_gradient);
}

}  // namespace vitsnna::kernels::cuda
