// A few rows of the attention matrix and of its gradient: dot products of one row with every key
// (or value), and the softmax of rows.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/lane_groups.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {
namespace {

/// Which rows meet, and what becomes of a product.
struct Products {
  AttentionShape shape;
  index_t gradients = 1;     ///< left rows of one item
  index_t summed_items = 1;  ///< items that go into one result
  index_t splits = 1;        ///< blocks of keys
  float factor = 1.f;
  bool adds = false;     ///< output += factor * product, item after item; else output = ...
  bool aligned = false;  ///< 16-byte loads
};

/// output[result, head, query, key] (+)= factor * left[item * gradients + g, query] . right[item,
/// key], with result = item * gradients + g, or g alone where items are summed.
template <class Element, int lanes>
__global__ void __launch_bounds__(LaneGroups<lanes>::threads)
    row_products_kernel(Rows<const Element> left, Rows<const Element> right, Products p,
                        float* output) {
  using Groups = LaneGroups<lanes>;
  const AttentionShape& s = p.shape;
  const index_t output_row = blockIdx.x / p.splits;
  const index_t first_key = blockIdx.x % p.splits * Groups::keys + Groups::group();
  const index_t query = output_row % s.num_queries;
  const index_t head = output_row / s.num_queries % s.heads;
  const index_t result = output_row / s.num_queries / s.heads;
  const index_t column = head * s.head_dim + Groups::column();
  const bool active = Groups::column() < s.head_dim;
  float* row = output + output_row * s.num_keys;
  float sums[Groups::rows];
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    const index_t key = first_key + r * Groups::groups;
    sums[r] = p.adds && key < s.num_keys ? row[key] : 0.f;
  }
  for (index_t summed = 0; summed < p.summed_items; ++summed) {
    const index_t item = result / p.gradients + summed;
    const index_t left_item = item * p.gradients + result % p.gradients;
    Eight<Element> keys[Groups::rows];
#pragma unroll
    for (int r = 0; r < Groups::rows; ++r) {
      const index_t key = first_key + r * Groups::groups;
      keys[r] = active && key < s.num_keys
                    ? Eight<Element>::load(right.row(item, key) + column, p.aligned)
                    : Eight<Element>::zero();
    }
    float a[8], b[8];
    (active ? Eight<Element>::load(left.row(left_item, query) + column, p.aligned)
            : Eight<Element>::zero())
        .to(a);
#pragma unroll
    for (int r = 0; r < Groups::rows; ++r) {
      keys[r].to(b);
      sums[r] = fmaf(p.factor, Groups::sum(dot_eight(a, b)), sums[r]);
    }
  }
  if (Groups::column() != 0) return;
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    const index_t key = first_key + r * Groups::groups;
    if (key < s.num_keys) row[key] = sums[r];
  }
}

constexpr int kSoftmaxThreads = 256;
constexpr int kSoftmaxWarps = kSoftmaxThreads / kWarpSize;

/// One row of scores in base 2 into probabilities, in place: 2^(s_j - max) / sum.
template <class Element>
__global__ void __launch_bounds__(kSoftmaxThreads) softmax_rows_kernel(float* rows, index_t keys) {
  SharedMemory memory;
  const auto maxima = memory.take<float>(kSoftmaxWarps);
  const auto sums = memory.take<float>(kSoftmaxWarps);
  float* row = rows + static_cast<index_t>(blockIdx.x) * keys;
  float maximum = row[0];
  for (index_t j = threadIdx.x; j < keys; j += kSoftmaxThreads) maximum = fmaxf(maximum, row[j]);
  maximum = warp_max(maximum);
  if (lane_index() == 0) maxima[warp_index()] = maximum;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < kSoftmaxWarps; ++warp) maximum = fmaxf(maximum, maxima[warp]);
  float sum = 0.f;
  for (index_t j = threadIdx.x; j < keys; j += kSoftmaxThreads) {
    sum += softmax_exp2<Element>(row[j] - maximum);
  }
  sum = warp_sum(sum);
  if (lane_index() == 0) sums[warp_index()] = sum;
  __syncthreads();
  sum = 0.f;
#pragma unroll
  for (int warp = 0; warp < kSoftmaxWarps; ++warp) sum += sums[warp];
  for (index_t j = threadIdx.x; j < keys; j += kSoftmaxThreads) {
    row[j] = softmax_exp2<Element>(row[j] - maximum) / sum;
  }
}

void launch_products(const char* name, Queue& queue, const ConstMatrix& left,
                     const ConstMatrix& right, Products products, index_t results, float* output) {
  products.aligned = rows_are_aligned(left) && rows_are_aligned(right);
  const AttentionShape& s = products.shape;
  with_dtype(left.dtype, [&]<class Element>() {
    with_lane_groups(name, s.head_dim, [&]<int lanes>() {
      using Groups = LaneGroups<lanes>;
      products.splits = ceil_div(s.num_keys, Groups::keys);
      const index_t blocks = results * s.heads * s.num_queries * products.splits;
      const LaunchShape shape{dim3(grid_extent(name, blocks)), Groups::threads, 0};
      launch<row_products_kernel<Element, lanes>>(name, queue, shape, Rows<const Element>(left),
                                                  Rows<const Element>(right), products, output);
    });
  });
}

bool is_empty(const AttentionShape& s) {
  return s.items == 0 || s.heads == 0 || s.num_queries == 0 || s.num_keys == 0;
}

}  // namespace

void attention_probabilities(Queue& queue, const AttentionProbabilities& args) {
  const AttentionShape& s = args.shape;
  if (is_empty(s)) return;
  Products products;
  products.shape = s;
  products.factor = softmax_scale_log2e(s.head_dim);
  launch_products("attention_probabilities", queue, args.query, args.key, products, s.items,
                  args.probabilities);
  const unsigned rows = grid_extent("attention_probabilities", s.items * s.heads * s.num_queries);
  const LaunchShape shape{dim3(rows), kSoftmaxThreads, 2 * shared_bytes<float>(kSoftmaxWarps)};
  with_dtype(args.query.dtype, [&]<class Element>() {
    launch<softmax_rows_kernel<Element>>("attention_probabilities", queue, shape,
                                         args.probabilities, s.num_keys);
  });
}

void attention_gradient(Queue& queue, const AttentionGradient& args) {
  const AttentionShape& s = args.shape;
  if (is_empty(s) || args.gradients == 0) return;
  Products products;
  products.shape = s;
  products.gradients = args.gradients;
  products.summed_items = args.mean_items ? s.items : 1;
  products.factor = args.mean_items ? args.weight : 1.f;
  products.adds = args.mean_items;
  const index_t results = args.mean_items ? args.gradients : s.items * args.gradients;
  launch_products("attention_gradient", queue, args.output_gradient, args.value, products, results,
                  args.attention_gradient);
}

}  // namespace vitsnna::kernels::cuda
