// D_i = dO_i . O_i and the base-2 log-sum-exp of every query row of every head.
#include "kernels/cuda/attention_prepare.h"
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/lane_groups.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {
namespace {

template <class Element>
struct Operands {
  Rows<const Element> output, output_gradient;
  const float* log_sum_exp = nullptr;
  PreparedRows rows;
  AttentionShape shape;
  index_t gradients = 1;
  index_t total = 0;  ///< rows of all sets and heads, padding included
  bool aligned = false;
};

/// A group of lanes takes one row of one head.
template <class Element, int lanes>
__global__ void __launch_bounds__(LaneGroups<lanes>::threads)
    prepare_rows_kernel(Operands<Element> p) {
  using Groups = LaneGroups<lanes>;
  const index_t index = static_cast<index_t>(blockIdx.x) * Groups::groups + Groups::group();
  const index_t i = index % p.rows.padded, head = index / p.rows.padded % p.shape.heads;
  const index_t set = index / p.rows.padded / p.shape.heads;  // item * gradients + gradient
  const index_t item = set / p.gradients;
  const bool inside = index < p.total && i < p.shape.num_queries;
  const bool writes = index < p.total && Groups::column() == 0;
  if (p.rows.row_dot) {
    float sum = 0.f;
    if (inside && Groups::column() < p.shape.head_dim) {
      const index_t column = head * p.shape.head_dim + Groups::column();
      float output[8], gradient[8];
      Eight<Element>::load(p.output.row(item, i) + column, p.aligned).to(output);
      Eight<Element>::load(p.output_gradient.row(set, i) + column, p.aligned).to(gradient);
      sum = dot_eight(gradient, output);
    }
    sum = Groups::sum(sum);
    if (writes) p.rows.row_dot[index] = sum;
  }
  if (writes && set % p.gradients == 0) {
    const index_t row = item * p.shape.heads + head;
    p.rows.shift[row * p.rows.padded + i] =
        inside ? -log2_e * p.log_sum_exp[row * p.shape.num_queries + i] : no_probability;
  }
}

}  // namespace

void prepare_rows(const char* name, Queue& queue, const AttentionShape& shape, index_t gradients,
                  const float* log_sum_exp, const ConstMatrix& output,
                  const ConstMatrix& output_gradient, const PreparedRows& rows) {
  with_dtype(output.dtype, [&]<class Element>() {
    Operands<Element> p;
    p.output = Rows<const Element>(output);
    p.output_gradient = Rows<const Element>(output_gradient);
    p.log_sum_exp = log_sum_exp;
    p.rows = rows;
    p.shape = shape;
    p.gradients = gradients;
    p.total = shape.items * gradients * shape.heads * rows.padded;
    p.aligned = rows_are_aligned(output) && rows_are_aligned(output_gradient);
    with_lane_groups(name, shape.head_dim, [&]<int lanes>() {
      using Groups = LaneGroups<lanes>;
      const LaunchShape blocks{dim3(grid_extent(name, p.total, Groups::groups)), Groups::threads,
                               0};
      launch<prepare_rows_kernel<Element, lanes>>(name, queue, blocks, p);
    });
  });
}

}  // namespace vitsnna::kernels::cuda
