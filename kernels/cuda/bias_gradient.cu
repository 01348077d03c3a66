// bias_gradient[o] += sum of output_gradient[i, r, o] over i and r, in an order that depends on the
// extents alone.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/shared.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kColumns = 32;  // of a block: one warp reads them side by side
constexpr int kLanes = 8;     // rows under way at once
constexpr int kThreads = kColumns * kLanes;

/// Block (columns, part): partial[part, o] = sum over kBiasGradientRows of the items * rows rows.
template <class T>
__global__ void __launch_bounds__(kThreads)
    bias_gradient_parts_kernel(Rows<const T> output_gradient, float* partial, index_t rows,
                               index_t all_rows, index_t columns) {
  const int lane = static_cast<int>(threadIdx.x) / kColumns;
  const int place = static_cast<int>(threadIdx.x) % kColumns;
  const index_t column = static_cast<index_t>(blockIdx.x) * kColumns + place;
  const index_t first = static_cast<index_t>(blockIdx.y) * kBiasGradientRows;
  float sum = 0.f;
  if (column < columns) {
    for (int r = lane; r < kBiasGradientRows && first + r < all_rows; r += kLanes) {
      const index_t row = first + r;
      sum += load_float(output_gradient.row(row / rows, row % rows) + column);
    }
  }
  SharedMemory memory;
  const Shared<float> sums = memory.take<float>(kThreads);
  sums[static_cast<int>(threadIdx.x)] = sum;
  __syncthreads();
  if (lane != 0 || column >= columns) return;
  for (int other = 1; other < kLanes; ++other) sum += sums[other * kColumns + place];
  partial[static_cast<index_t>(blockIdx.y) * columns + column] = sum;
}

__global__ void __launch_bounds__(kThreads)
    bias_gradient_sum_kernel(const float* partial, float* gradient, index_t parts,
                             index_t columns) {
  const index_t column = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= columns) return;
  float sum = 0.f;
  for (index_t part = 0; part < parts; ++part) sum += partial[part * columns + column];
  gradient[column] += sum;
}

}  // namespace

void bias_gradient(Queue& queue, const LinearWeightGradient& args, float* partial) {
  const index_t all_rows = args.items * args.rows, columns = args.out_features;
  const index_t parts = ceil_div(all_rows, kBiasGradientRows);
  const LaunchShape shape{
      dim3(grid_extent("bias_gradient", columns, kColumns), static_cast<unsigned>(parts)), kThreads,
      shared_bytes<float>(kThreads)};
  with_dtype(args.output_gradient.dtype, [&]<class T>() {
    launch<bias_gradient_parts_kernel<T>>("bias_gradient", queue, shape,
                                          Rows<const T>(args.output_gradient), partial, args.rows,
                                          all_rows, columns);
  });
  const LaunchShape sum{dim3(grid_extent("bias_gradient", columns, kThreads)), kThreads, 0};
  launch<bias_gradient_sum_kernel>("bias_gradient", queue, sum, static_cast<const float*>(partial),
                                   args.bias_gradient, parts, columns);
}

}  // namespace vitsnna::kernels::cuda
