// Gradients of a linear layer's parameters: a task owns a panel of the weight's gradient and sums
// over all rows in their order.
#include <algorithm>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd/vector_loops.h"
#include "kernels/cpu/tile_product.h"
#include "kernels/linear.h"

namespace vitsnna::kernels::cpu {
namespace {

// Rows and columns of the gradient that one task owns: with the operands of one product they fill
// half of a second-level cache of 1 MiB, and wide panels transpose the output gradient less often.
constexpr index_t panel = 192, input_panel = 384;
constexpr index_t sum_rows = 256;  // rows summed by one product
constexpr index_t bias_rows = 64;  // rows summed before they join the bias gradient

TileShape tile_shape(const LinearWeightGradient& args, index_t outputs, index_t inputs,
                     index_t rows) {
  TileShape shape;
  shape.rows = outputs;
  shape.columns = inputs;
  shape.inner = rows;
  shape.left_stride = args.output_gradient.row_stride;
  shape.right_stride = args.input.row_stride;
  shape.output_stride = args.in_features;
  shape.dtype = args.input.dtype;
  shape.left_transposed = true;
  shape.accumulate = true;
  return shape;
}

/// Bytes of scratch of one product; also makes every primitive that the op will use.
index_t product_bytes(const LinearWeightGradient& args) {
  index_t bytes = 0;
  for (const index_t outputs : {std::min(args.out_features, panel), args.out_features % panel}) {
    for (const index_t inputs :
         {std::min(args.in_features, input_panel), args.in_features % input_panel}) {
      for (const index_t rows : {std::min(args.rows, sum_rows), args.rows % sum_rows}) {
        if (outputs > 0 && inputs > 0 && rows > 0) {
          bytes =
              std::max(bytes, tile_product_scratch_bytes(tile_shape(args, outputs, inputs, rows)));
        }
      }
    }
  }
  return round_up(bytes, 64);
}

index_t slice_bytes(const LinearWeightGradient& args) {
  return (args.weight_gradient ? product_bytes(args) : 0) + 4 * panel;
}

}  // namespace

index_t linear_weight_gradient_scratch(const Queue& queue, const LinearWeightGradient& args) {
  return queue.num_threads * slice_bytes(args);
}

void linear_weight_gradient(Queue& queue, const LinearWeightGradient& args) {
  const index_t slice = slice_bytes(args);
  const index_t output_panels = ceil_div(args.out_features, panel);
  const index_t input_panels = ceil_div(args.in_features, input_panel);
  const index_t weight_tasks = args.weight_gradient ? output_panels * input_panels : 0;
  const index_t bias_tasks = args.bias_gradient ? output_panels : 0;
  const auto& loops = vector_loops();
  parallel_for(queue, weight_tasks + bias_tasks, [&](index_t task, int thread) {
    auto* scratch = scratch_at<std::byte>(queue, thread * slice);
    if (task < weight_tasks) {
      const index_t output = task / input_panels * panel;
      const index_t input = task % input_panels * input_panel;
      const index_t outputs = std::min(panel, args.out_features - output);
      const index_t inputs = std::min(input_panel, args.in_features - input);
      for (index_t item = 0; item < args.items; ++item) {
        for (index_t row = 0; row < args.rows; row += sum_rows) {
          const index_t rows = std::min(sum_rows, args.rows - row);
          tile_product(tile_shape(args, outputs, inputs, rows),
                       element(args.output_gradient, item, row, output),
                       element(args.input, item, row, input),
                       args.weight_gradient + output * args.in_features + input, scratch);
        }
      }
      return;
    }
    const index_t output = (task - weight_tasks) * panel;
    const index_t outputs = std::min(panel, args.out_features - output);
    auto* sum = reinterpret_cast<float*>(scratch + slice - 4 * panel);
    for (index_t item = 0; item < args.items; ++item) {
      for (index_t row = 0; row < args.rows; row += bias_rows) {
        std::fill_n(sum, outputs, 0.f);
        for (index_t r = row; r < std::min(args.rows, row + bias_rows); ++r) {
          loops.add_scaled(outputs, element(args.output_gradient, item, r, output),
                           args.output_gradient.dtype, 1.f, sum);
        }
        loops.add_scaled(outputs, sum, DType::f32, 1.f, args.bias_gradient + output);
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
