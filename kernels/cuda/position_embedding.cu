// The position embedding at another grid, bicubically, and its transpose. SPEC section 1.
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/position_math.h"

namespace vitsnna::kernels::cuda {
namespace {

using position_math::Taps;
using position_math::taps;

/// Rows of the walk are 1 + grid cells, CLS first.
__global__ void __launch_bounds__(256)
    resample_position_kernel(ResamplePositionEmbedding a, RowWalk walk) {
  const Place at = place_of_thread(walk, 1);
  if (at.column >= walk.columns) return;
  float* to = a.output + at.row * a.embed_dim + at.column;
  if (at.row == 0) {
    *to = a.source[at.column];
    return;
  }
  const auto cell = static_cast<unsigned>(at.row) - 1u;
  const auto y = cell / static_cast<unsigned>(a.grid_width);
  const auto x = cell - y * static_cast<unsigned>(a.grid_width);
  const Taps rows = taps(y, a.source_height, a.grid_height);
  const Taps columns = taps(x, a.source_width, a.grid_width);
  const float* source = a.source + a.embed_dim + at.column;
  float sum = 0.f;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const index_t from = rows.index[i] * a.source_width + columns.index[j];
      sum += product(product(rows.weight[i], columns.weight[j]), source[from * a.embed_dim]);
    }
  }
  *to = sum;
}

/// Weight of source row `from` in a new row: taps that the border clamps to it add up.
__device__ __forceinline__ float weight_of(const Taps& taken, index_t from) {
  float weight = 0.f;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (taken.index[k] == from) weight += taken.weight[k];
  }
  return weight;
}

struct Span {
  index_t first, end;
};

/// New rows that may have a tap on source row `from`: those whose coordinate is within two of it,
/// one more on either side for the rounding, and all beyond the border where `from` lies on it.
__device__ __forceinline__ Span rows_that_take(index_t from, index_t source_side, index_t side) {
  const double step = (static_cast<double>(side) + .1) / static_cast<double>(source_side);
  const index_t low = floor_of((static_cast<double>(from) - 1.5) * step - .5) - 1;
  const index_t high = floor_of((static_cast<double>(from) + 2.5) * step - .5) + 2;
  const bool is_last = from == source_side - 1;
  return {from == 0 || low < 0 ? 0 : low, is_last || high > side - 1 ? side : high + 1};
}

/// Rows of the walk are 1 + source cells; a thread gathers one channel of one of them over the new
/// cells that were made of it, row by row, so that the order of the sum is fixed.
__global__ void __launch_bounds__(256)
    resample_position_backward_kernel(ResamplePositionEmbeddingBackward a, RowWalk walk) {
  const Place at = place_of_thread(walk, 1);
  if (at.column >= walk.columns) return;
  float* to = a.source_gradient + at.row * a.embed_dim + at.column;
  if (at.row == 0) {
    *to += a.output_gradient[at.column];
    return;
  }
  const auto cell = static_cast<unsigned>(at.row) - 1u;
  const auto source_y = cell / static_cast<unsigned>(a.source_width);
  const auto source_x = cell - source_y * static_cast<unsigned>(a.source_width);
  const Span rows = rows_that_take(source_y, a.source_height, a.grid_height);
  const Span columns = rows_that_take(source_x, a.source_width, a.grid_width);
  const float* gradient = a.output_gradient + a.embed_dim + at.column;
  float sum = 0.f;
  for (index_t x = columns.first; x < columns.end; ++x) {
    const float across = weight_of(taps(x, a.source_width, a.grid_width), source_x);
    float column_sum = 0.f;
    for (index_t y = rows.first; y < rows.end; ++y) {
      const float down = weight_of(taps(y, a.source_height, a.grid_height), source_y);
      column_sum += product(down, gradient[(y * a.grid_width + x) * a.embed_dim]);
    }
    sum += product(across, column_sum);
  }
  *to += sum;
}

}  // namespace

void resample_position_embedding(Queue& queue, const ResamplePositionEmbedding& args) {
  const index_t rows = 1 + args.grid_height * args.grid_width;
  if (args.source_height == args.grid_height && args.source_width == args.grid_width) {
    CopyRows copy;
    copy.rows = 1;
    copy.columns = rows * args.embed_dim;
    copy.source = {args.source, DType::f32, 0, 0};
    copy.destination = {args.output, DType::f32, 0, 0};
    copy_rows(queue, copy);
    return;
  }
  RowWalk walk;
  const LaunchShape shape = shape_of("resample_position", {1, rows, args.embed_dim}, 1, walk);
  launch<resample_position_kernel>("resample_position", queue, shape, args, walk);
}

void resample_position_embedding_backward(Queue& queue,
                                          const ResamplePositionEmbeddingBackward& args) {
  const index_t rows = 1 + args.source_height * args.source_width;
  if (args.source_height == args.grid_height && args.source_width == args.grid_width) {
    CopyRows add;
    add.rows = 1;
    add.columns = rows * args.embed_dim;
    add.source = {args.output_gradient, DType::f32, 0, 0};
    add.destination = {args.source_gradient, DType::f32, 0, 0};
    add.accumulate = true;
    copy_rows(queue, add);
    return;
  }
  constexpr const char* name = "resample_position_backward";
  RowWalk walk;
  const LaunchShape shape = shape_of(name, {1, rows, args.embed_dim}, 1, walk);
  launch<resample_position_backward_kernel>(name, queue, shape, args, walk);
}

}  // namespace vitsnna::kernels::cuda
