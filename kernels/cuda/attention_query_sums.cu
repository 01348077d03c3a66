// The end of the one-pass attention backward: dQ = scale * sums, as its operand holds it.
#include "kernels/cuda/attention_backward_tiles.h"
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/eight.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// A thread takes eight columns of a row.
template <class Element>
__global__ void __launch_bounds__(kThreads)
    store_query_sums_kernel(const float* sums, Rows<Element> gradient, index_t rows,
                            index_t row_eights, index_t eights, float scale, bool aligned) {
  const index_t index = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= eights) return;
  const index_t row = index / row_eights, column = index % row_eights * 8;
  float values[8];
  Eight<float>::load(sums + index * 8, true).to(values);
#pragma unroll
  for (int k = 0; k < 8; ++k) values[k] *= scale;
  store_eight(gradient.row(row / rows, row % rows) + column, values, aligned);
}

}  // namespace

void store_query_sums(Queue& queue, const AttentionBackward& args, const float* query_sums) {
  const char* name = op_name(args);
  const AttentionShape& s = args.shape;
  const index_t row_eights = s.heads * s.head_dim / 8;
  const index_t eights = s.items * args.gradients * s.num_queries * row_eights;
  const LaunchShape blocks{dim3(grid_extent(name, eights, kThreads)), kThreads, 0};
  with_dtype(args.query_gradient.dtype, [&]<class Element>() {
    launch<store_query_sums_kernel<Element>>(
        name, queue, blocks, query_sums, Rows<Element>(args.query_gradient), s.num_queries,
        row_eights, eights, softmax_scale(s.head_dim), rows_are_aligned(args.query_gradient));
  });
}

}  // namespace vitsnna::kernels::cuda
