// Layer normalisation and its gradients, a row at a time.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/row_loops.h"

namespace vitsnna::kernels::cpu {
namespace {

/// Blocks of rows whose gain and shift gradients are summed side by side before they are added, in
/// order, to the result.
constexpr index_t blocks_per_wave = 256;

index_t row_blocks(const LayerNormBackward& a) { return a.items * ceil_div(a.rows, rows_per_task); }

bool wants_parameters(const LayerNormBackward& a) { return a.gain_gradient || a.shift_gradient; }

}  // namespace

void layer_norm(Queue& queue, const LayerNorm& a) {
  const RowLoops& loops = row_loops();
  for_row_blocks(queue, a.items, a.rows, rows_per_task,
                 [&](index_t item, index_t first, index_t end, int) {
                   for (index_t row = first; row < end; ++row) {
                     loops.layer_norm(static_cast<const float*>(element(a.input, item, row, 0)),
                                      a.gain, a.shift, a.epsilon, a.columns,
                                      element(a.output, item, row, 0), a.output.dtype);
                   }
                 });
}

index_t layer_norm_backward_scratch(const Queue&, const LayerNormBackward& a) {
  if (!wants_parameters(a)) return 0;
  const index_t blocks = row_blocks(a);
  return (blocks < blocks_per_wave ? blocks : blocks_per_wave) * 2 * a.columns *
         size_of(DType::f32);
}

/// The gain and shift gradients are sums over every row. Each block of rows_per_task rows of one
/// item is summed on its own and the blocks are added in order, so neither the threads nor the
/// batch change a bit.
void layer_norm_backward(Queue& queue, const LayerNormBackward& a) {
  const RowLoops& loops = row_loops();
  const index_t blocks_per_item = ceil_div(a.rows, rows_per_task);
  const index_t blocks = row_blocks(a);
  auto* partial_sums = scratch_at<float>(queue, 0);
  for (index_t wave = 0; wave < blocks; wave += blocks_per_wave) {
    const index_t count = blocks - wave < blocks_per_wave ? blocks - wave : blocks_per_wave;
    parallel_for(queue, count, [&](index_t task, int) {
      const index_t item = (wave + task) / blocks_per_item;
      const index_t first = (wave + task) % blocks_per_item * rows_per_task;
      const index_t end = first + rows_per_task < a.rows ? first + rows_per_task : a.rows;
      LayerNormBackwardRow row;
      row.gain = a.gain;
      row.epsilon = a.epsilon;
      row.dtype = a.output_gradient.dtype;
      row.accumulate = a.accumulate;
      if (wants_parameters(a)) {
        row.gain_gradient = partial_sums + task * 2 * a.columns;
        row.shift_gradient = row.gain_gradient + a.columns;
        for (index_t c = 0; c < 2 * a.columns; ++c) row.gain_gradient[c] = 0.f;
      }
      for (index_t r = first; r < end; ++r) {
        row.input = static_cast<const float*>(element(a.input, item % a.input_items, r, 0));
        row.output_gradient = element(a.output_gradient, item, r, 0);
        row.input_gradient = static_cast<float*>(element(a.input_gradient, item, r, 0));
        loops.layer_norm_backward(row, a.columns);
      }
    });
    for (index_t task = 0; task < count && wants_parameters(a); ++task) {
      const float* gain = partial_sums + task * 2 * a.columns;
      const float* shift = gain + a.columns;
      for (index_t c = 0; c < a.columns && a.gain_gradient; ++c) a.gain_gradient[c] += gain[c];
      for (index_t c = 0; c < a.columns && a.shift_gradient; ++c) a.shift_gradient[c] += shift[c];
    }
  }
}

}  // namespace vitsnna::kernels::cpu
