// Attention backward of one query row: nothing is summed over queries, so a block writes dK and dV
// of its 64 keys at once and leaves its part of dQ, which a second kernel adds in the keys' order.
#include "kernels/cuda/attention_few_queries.h"
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/lane_groups.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {
namespace {

template <class Element>
struct Operands {
  Rows<const Element> query, key, value, output, output_gradient;
  Rows<Element> query_gradient, key_gradient, value_gradient;
  const float* log_sum_exp = nullptr;
  AttentionShape shape;
  index_t gradients = 1;
  index_t splits = 1;
  float scale = 1.f, scale_log2e = 1.f;
  bool aligned = false;
  float* query_parts = nullptr;  ///< (items * gradients, heads, splits, head_dim)
};

/// A_j = exp(S_j - log_sum_exp); G_j = dO . v_j; dS_j = A_j (G_j - D) scale with D = dO . O;
/// dK_j = dS_j q; dV_j = A_j dO; dQ = sum_j dS_j k_j.
template <class Element, int lanes>
__global__ void __launch_bounds__(LaneGroups<lanes>::threads)
    single_query_backward_kernel(Operands<Element> p) {
  using Groups = LaneGroups<lanes>;
  SharedMemory memory;
  const auto parts = memory.take<float>(Groups::warps * 8 * lanes);
  const AttentionShape& s = p.shape;
  const index_t first_key = blockIdx.x % p.splits * Groups::keys + Groups::group();
  const index_t head = blockIdx.x / p.splits % s.heads;
  const index_t set = blockIdx.x / p.splits / s.heads;  // item * gradients + gradient
  const index_t item = set / p.gradients;
  const index_t column = head * s.head_dim + Groups::column();
  const bool active = Groups::column() < s.head_dim;
  const auto read = [&](const Element* from, bool inside) {
    return inside && active ? Eight<Element>::load(from + column, p.aligned)
                            : Eight<Element>::zero();
  };
  Eight<Element> keys[Groups::rows], values[Groups::rows];
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    const index_t j = first_key + r * Groups::groups;
    keys[r] = read(p.key.row(item, j), j < s.num_keys);
    values[r] = read(p.value.row(item, j), j < s.num_keys);
  }
  float query[8], output_gradient[8], other[8];
  read(p.query.row(item, 0), true).to(query);
  read(p.output_gradient.row(set, 0), true).to(output_gradient);
  read(p.output.row(item, 0), true).to(other);
  const float inner = Groups::sum(dot_eight(output_gradient, other));
  const float shift = log2_e * p.log_sum_exp[item * s.heads + head];

  float query_gradient[8] = {};
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    const index_t j = first_key + r * Groups::groups;
    const bool inside = j < s.num_keys;
    values[r].to(other);
    const float gradient = Groups::sum(dot_eight(output_gradient, other));
    keys[r].to(other);
    const float score = Groups::sum(dot_eight(query, other));
    const float a = inside ? softmax_exp2<Element>(fmaf(p.scale_log2e, score, -shift)) : 0.f;
    const float score_gradient = a * (gradient - inner) * p.scale;
    float key_gradient[8], value_gradient[8];
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      query_gradient[k] = fmaf(score_gradient, other[k], query_gradient[k]);
      key_gradient[k] = score_gradient * query[k];
      value_gradient[k] = a * output_gradient[k];
    }
    if (inside && active) {
      store_eight(p.key_gradient.row(set, j) + column, key_gradient, p.aligned);
      store_eight(p.value_gradient.row(set, j) + column, value_gradient, p.aligned);
    }
  }
#pragma unroll
  for (int k = 0; k < 8; ++k) query_gradient[k] = Groups::sum_groups(query_gradient[k]);
  if (lane_index() < lanes) {
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      parts[warp_index() * 8 * lanes + Groups::column() + k] = query_gradient[k];
    }
  }
  __syncthreads();
  const int d = static_cast<int>(threadIdx.x);
  if (d >= s.head_dim) return;
  float sum = 0.f;
#pragma unroll
  for (int warp = 0; warp < Groups::warps; ++warp) sum += parts[warp * 8 * lanes + d];
  p.query_parts[static_cast<index_t>(blockIdx.x) * s.head_dim + d] = sum;
}

constexpr int kCombineThreads = 128;

template <class Element>
__global__ void __launch_bounds__(kCombineThreads)
    single_query_combine_kernel(Operands<Element> p) {
  const index_t head = blockIdx.x % p.shape.heads, set = blockIdx.x / p.shape.heads;
  const index_t d = threadIdx.x;
  if (d >= p.shape.head_dim) return;
  const float* parts = p.query_parts + blockIdx.x * p.splits * p.shape.head_dim + d;
  float sum = 0.f;
  for (index_t k = 0; k < p.splits; ++k) sum += parts[k * p.shape.head_dim];
  store_float(p.query_gradient.row(set, 0) + head * p.shape.head_dim + d, sum);
}

index_t splits_of(const AttentionShape& s) { return ceil_div(s.num_keys, LaneGroups<8>::keys); }

bool is_empty(const AttentionBackward& a) {
  return a.shape.items == 0 || a.shape.heads == 0 || a.shape.num_keys == 0 || a.gradients == 0;
}

}  // namespace

index_t single_query_backward_scratch(const AttentionBackward& args) {
  const AttentionShape& s = args.shape;
  return is_empty(args) ? 0 : 4 * s.items * args.gradients * s.heads * splits_of(s) * s.head_dim;
}

void single_query_backward(Queue& queue, const AttentionBackward& args) {
  constexpr const char* name = "attention_backward";
  const AttentionShape& s = args.shape;
  if (is_empty(args)) return;
  with_dtype(args.query.dtype, [&]<class Element>() {
    Operands<Element> p;
    p.query = Rows<const Element>(args.query);
    p.key = Rows<const Element>(args.key);
    p.value = Rows<const Element>(args.value);
    p.output = Rows<const Element>(args.output);
    p.output_gradient = Rows<const Element>(args.output_gradient);
    p.query_gradient = Rows<Element>(args.query_gradient);
    p.key_gradient = Rows<Element>(args.key_gradient);
    p.value_gradient = Rows<Element>(args.value_gradient);
    p.log_sum_exp = args.log_sum_exp;
    p.shape = s;
    p.gradients = args.gradients;
    p.splits = splits_of(s);
    p.scale = softmax_scale(s.head_dim);
    p.scale_log2e = softmax_scale_log2e(s.head_dim);
    p.aligned = true;
    for (const ConstMatrix& operand :
         {args.query, args.key, args.value, args.output, args.output_gradient,
          ConstMatrix(args.key_gradient), ConstMatrix(args.value_gradient)}) {
      p.aligned = p.aligned && rows_are_aligned(operand);
    }
    p.query_parts = static_cast<float*>(queue.scratch);
    const index_t rows = s.items * args.gradients * s.heads;
    with_lane_groups(name, s.head_dim, [&]<int lanes>() {
      using Groups = LaneGroups<lanes>;
      const LaunchShape shape{dim3(grid_extent(name, rows * p.splits)), Groups::threads,
                              shared_bytes<float>(Groups::warps * 8 * lanes)};
      launch<single_query_backward_kernel<Element, lanes>>(name, queue, shape, p);
    });
    const LaunchShape shape{dim3(grid_extent(name, rows)), kCombineThreads, 0};
    launch<single_query_combine_kernel<Element>>(name, queue, shape, p);
  });
}

}  // namespace vitsnna::kernels::cuda
