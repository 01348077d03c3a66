// bias_gradient[o] += sum of output_gradient[i, r, o] over i and r, in an order that depends on the
// extents alone: blocks sum parts of the rows, then one row of blocks the parts.
#include <algorithm>

#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/shared.h"
#include "kernels/cuda/vectors.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kPlaces = 32;  // of a block, each with `count` columns: a warp reads a row's together
constexpr int kLanes = 8;    // rows under way at once
constexpr int kThreads = kPlaces * kLanes;
constexpr index_t kLeastRows = 256, kMostParts = 128;  // enough blocks for a GPU, few to sum again

/// What is summed: `sums`[part, column] (+)= sum over `part_rows` of the rows of all items.
struct ColumnSums {
  index_t rows = 0;  ///< of an item
  index_t all_rows = 0;
  index_t part_rows = 0;
  index_t columns = 0;
  bool joined = true;  ///< rows of all items follow each other by their stride alone
  bool accumulate = false;
  float* sums = nullptr;
};

/// Block (columns, part). `count` columns a thread: 4 where the operand allows it, or 1.
template <class T, int count>
__global__ void __launch_bounds__(kThreads) column_sums_kernel(Rows<const T> matrix, ColumnSums a) {
  const int lane = static_cast<int>(threadIdx.x) / kPlaces;
  const int place = static_cast<int>(threadIdx.x) % kPlaces * count;
  const index_t first_column = static_cast<index_t>(blockIdx.x) * (kPlaces * count);
  const index_t first = static_cast<index_t>(blockIdx.y) * a.part_rows;
  const index_t end = first + a.part_rows < a.all_rows ? first + a.part_rows : a.all_rows;
  float sum[count] = {};
  if (first_column + place < a.columns) {
#pragma unroll 4
    for (index_t r = first + lane; r < end; r += kLanes) {
      const T* row = a.joined ? matrix.row(0, r) : matrix.row(r / a.rows, r % a.rows);
      float values[count];
      load_floats<count>(row + first_column + place, values);
#pragma unroll
      for (int k = 0; k < count; ++k) sum[k] += values[k];
    }
  }
  SharedMemory memory;
  const Shared<float> sums = memory.take<float>(kThreads * count);
#pragma unroll
  for (int k = 0; k < count; ++k) sums[lane * (kPlaces * count) + place + k] = sum[k];
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x);
  const index_t column = first_column + mine;
  if (mine >= kPlaces * count || column >= a.columns) return;
  float total = sums[mine];
#pragma unroll
  for (int other = 1; other < kLanes; ++other) total += sums[other * (kPlaces * count) + mine];
  float* to = a.sums + static_cast<index_t>(blockIdx.y) * a.columns + column;
  *to = a.accumulate ? *to + total : total;
}

template <class T>
void column_sums(Queue& queue, const ConstMatrix& matrix, const ColumnSums& args) {
  const auto with_count = [&]<int count>() {
    const unsigned parts = static_cast<unsigned>(ceil_div(args.all_rows, args.part_rows));
    const LaunchShape shape{
        dim3(grid_extent("bias_gradient", args.columns, kPlaces * count), parts), kThreads,
        shared_bytes<float>(kThreads * count)};
    launch<column_sums_kernel<T, count>>("bias_gradient", queue, shape, Rows<const T>(matrix),
                                         args);
  };
  if (args.columns % 4 == 0 && aligned_for(4, matrix)) {
    with_count.template operator()<4>();
  } else {
    with_count.template operator()<1>();
  }
}

index_t part_rows(index_t all_rows) { return std::max(kLeastRows, ceil_div(all_rows, kMostParts)); }

}  // namespace

index_t bias_gradient_scratch(const LinearWeightGradient& args) {
  const index_t all_rows = args.items * args.rows;
  return all_rows == 0 ? 0 : 4 * ceil_div(all_rows, part_rows(all_rows)) * args.out_features;
}

void bias_gradient(Queue& queue, const LinearWeightGradient& args, float* partial) {
  ColumnSums sums;
  sums.rows = args.rows;
  sums.all_rows = args.items * args.rows;
  sums.part_rows = part_rows(sums.all_rows);
  sums.columns = args.out_features;
  sums.joined = args.items == 1;
  sums.sums = partial;
  with_dtype(args.output_gradient.dtype,
             [&]<class T>() { column_sums<T>(queue, args.output_gradient, sums); });
  ColumnSums total = sums;
  total.rows = total.all_rows = total.part_rows = ceil_div(sums.all_rows, sums.part_rows);
  total.joined = total.accumulate = true;
  total.sums = args.bias_gradient;
  column_sums<float>(queue, {partial, DType::f32, 0, sums.columns}, total);
}

}  // namespace vitsnna::kernels::cuda
