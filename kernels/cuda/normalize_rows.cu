// Rows scaled to a length, and the gradients of that: a warp a row, read twice, the second time
// from the cache.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsOfBlock = kThreads / kWarpSize;

__device__ __forceinline__ index_t row_of_warp() {
  return static_cast<index_t>(blockIdx.x) * kRowsOfBlock + static_cast<index_t>(warp_index());
}

template <class Out>
__global__ void __launch_bounds__(kThreads)
    normalize_rows_kernel(NormalizeRows a, Rows<Out> output) {
  const index_t row = row_of_warp();
  if (row >= a.rows) return;
  const float* input = a.input + row * a.columns;
  float sum = 0.f;
#pragma unroll 4
  for (index_t c = lane_index(); c < a.columns; c += kWarpSize) sum = fmaf(input[c], input[c], sum);
  const float norm = sqrtf(warp_sum(sum));
  const float factor = (a.length ? a.length[row] : 1.f) / fmaxf(norm, a.epsilon);
  Out* to = output.row(0, row);
#pragma unroll 4
  for (index_t c = lane_index(); c < a.columns; c += kWarpSize) {
    store_float(to + c, input[c] * factor);
  }
}

__global__ void __launch_bounds__(kThreads)
    normalize_rows_backward_kernel(NormalizeRowsBackward a) {
  const index_t row = row_of_warp();
  if (row >= a.rows) return;
  const float* x = a.input + row * a.columns;
  const float* dy = a.output_gradient + row * a.columns;
  float* dx = a.input_gradient + row * a.columns;
  float squares = 0.f, products = 0.f;
#pragma unroll 4
  for (index_t c = lane_index(); c < a.columns; c += kWarpSize) {
    squares = fmaf(x[c], x[c], squares);
    products = fmaf(x[c], dy[c], products);
  }
  const float norm = sqrtf(warp_sum(squares));
  const float inverse = 1.f / fmaxf(norm, a.epsilon);
  const float along = warp_sum(products) * inverse;  // u . dy
  if (lane_index() == 0 && a.length_gradient) a.length_gradient[row] += along;
  const float factor = (a.length ? a.length[row] : 1.f) * inverse;
  const float back = norm > a.epsilon ? along * inverse : 0.f;
#pragma unroll 4
  for (index_t c = lane_index(); c < a.columns; c += kWarpSize) {
    const float gradient = factor * (dy[c] - x[c] * back);
    dx[c] = a.accumulate ? dx[c] + gradient : gradient;
  }
}

}  // namespace

void normalize_rows(Queue& queue, const NormalizeRows& args) {
  constexpr const char* name = "normalize_rows";
  const LaunchShape shape{dim3(grid_extent(name, args.rows, kRowsOfBlock)), kThreads, 0};
  with_dtype(args.output.dtype, [&]<class Out>() {
    launch<normalize_rows_kernel<Out>>(name, queue, shape, args, Rows<Out>(args.output));
  });
}

void normalize_rows_backward(Queue& queue, const NormalizeRowsBackward& args) {
  constexpr const char* name = "normalize_rows_backward";
  const LaunchShape shape{dim3(grid_extent(name, args.rows, kRowsOfBlock)), kThreads, 0};
  launch<normalize_rows_backward_kernel>(name, queue, shape, args);
}

}  // namespace vitsnna::kernels::cuda
