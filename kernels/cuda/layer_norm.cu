// Layer normalisation: a warp takes a row and holds it in registers between the passes.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/layer_norm_rows.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

struct Layer {
  const float* gain;
  const float* shift;
  float epsilon;
  unsigned rows;             ///< of an item
  unsigned blocks_per_item;  ///< each of kRowWarps rows
  index_t columns;
};

/// The row of this warp; `row` may lie beyond the item's last.
struct WarpRow {
  unsigned item, row;
};
__device__ __forceinline__ WarpRow warp_row(const Layer& layer) {
  const unsigned item = blockIdx.x / layer.blocks_per_item;
  const unsigned block = blockIdx.x - item * layer.blocks_per_item;
  return {item, block * kRowWarps + static_cast<unsigned>(warp_index())};
}

template <int chunks, bool vector, class Out>
__global__ void __launch_bounds__(kRowWarps* kWarpSize)
    layer_norm_kernel(Rows<const float> input, Rows<Out> output, Layer layer) {
  const WarpRow at = warp_row(layer);
  if (at.row >= layer.rows) return;
  const auto columns = static_cast<int>(layer.columns);
  float x[4 * chunks];
  load_row<vector, chunks>(input.row(at.item, at.row), columns, x);
  const RowStatistics row = statistics<chunks>(x, columns, layer.epsilon);
  Out* to = output.row(at.item, at.row);
#pragma unroll
  for (int k = 0; k < chunks; ++k) {
    const int column = chunk_column(k);
    float gain[4] = {}, shift[4] = {}, y[4];
    load_chunk<vector>(layer.gain, column, columns, gain);
    load_chunk<vector>(layer.shift, column, columns, shift);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      y[j] = (x[4 * k + j] - row.mean) * row.inverse_deviation * gain[j] + shift[j];
    }
    store_chunk<vector>(to, column, columns, y);
  }
}

/// Rows too wide for registers are read three times, from cache but for the first.
template <class Out>
__global__ void __launch_bounds__(kRowWarps* kWarpSize)
    layer_norm_wide_kernel(Rows<const float> input, Rows<Out> output, Layer layer) {
  const WarpRow at = warp_row(layer);
  if (at.row >= layer.rows) return;
  const float* from = input.row(at.item, at.row);
  Out* to = output.row(at.item, at.row);
  const RowStatistics row = wide_statistics(from, layer.columns, layer.epsilon);
  for (index_t c = lane_index(); c < layer.columns; c += kWarpSize) {
    store_float(to + c,
                (from[c] - row.mean) * row.inverse_deviation * layer.gain[c] + layer.shift[c]);
  }
}

/// Items whose rows follow each other evenly are one item of more rows.
void join_items(index_t& items, index_t& rows, const LayerNorm& a) {
  const auto even = [&](const ConstMatrix& m) { return m.item_stride == rows * m.row_stride; };
  if (!even(a.input) || !even(a.output)) return;
  rows *= items;
  items = 1;
}

}  // namespace

void layer_norm(Queue& queue, const LayerNorm& args) {
  constexpr const char* name = "layer_norm";
  index_t items = args.items, rows = args.rows;
  if (items > 1 && rows > 0) join_items(items, rows, args);
  const unsigned blocks_per_item = grid_extent(name, rows, kRowWarps);
  const Layer layer{args.gain,       args.shift,  args.epsilon, grid_extent(name, rows),
                    blocks_per_item, args.columns};
  const LaunchShape shape{dim3(grid_extent(name, items * blocks_per_item)), kRowWarps * kWarpSize,
                          0};
  const Rows<const float> input(args.input);
  with_dtype(args.output.dtype, [&]<class Out>() {
    const Rows<Out> output(args.output);
    if (args.columns > kRegisterColumns) {
      launch<layer_norm_wide_kernel<Out>>(name, queue, shape, input, output, layer);
      return;
    }
    const bool vector = moves_at_once(4, args.columns, args.input, ConstMatrix(args.output)) &&
                        aligned_for(4, 4, args.gain) && aligned_for(4, 4, args.shift);
    with_chunks(args.columns, [&]<int chunks>() {
      if (vector) {
        launch<layer_norm_kernel<chunks, true, Out>>(name, queue, shape, input, output, layer);
      } else {
        launch<layer_norm_kernel<chunks, false, Out>>(name, queue, shape, input, output, layer);
      }
    });
  });
}

}  // namespace vitsnna::kernels::cuda
