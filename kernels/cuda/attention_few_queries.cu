// Attention forward of a few query rows: each block takes one query row and 64 keys and leaves the
// softmax of those keys alone; a second kernel puts the parts of a row together.
#include <cmath>

#include "kernels/cuda/attention_few_queries.h"
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/lane_groups.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/softmax.h"

namespace vitsnna::kernels::cuda {
namespace {

/// Softmax over a part of a row's keys: the greatest score (base 2) and the sum of 2^(s - maximum).
/// Of part k of row r = (item, head, query), at statistics[r * splits + k]; beside it the sum of
/// 2^(s - maximum) key_keep v at outputs[(r * splits + k) * head_dim].
struct Parts {
  float2* statistics = nullptr;
  float* outputs = nullptr;
  index_t splits = 1;
};

/// 0 for an empty part, whose weight is 2^-infinity then.
__device__ __forceinline__ float finite_or_zero(float maximum) {
  return maximum == -INFINITY ? 0.f : maximum;
}

template <class Element, int lanes>
__global__ void __launch_bounds__(LaneGroups<lanes>::threads)
    few_query_part_kernel(Rows<const Element> query, Rows<const Element> key,
                          Rows<const Element> value, const std::uint8_t* key_keep, AttentionShape s,
                          float scale_log2e, bool aligned, Parts parts) {
  using Groups = LaneGroups<lanes>;
  SharedMemory memory;
  const auto maxima = memory.take<float>(Groups::warps);
  const auto sums = memory.take<float>(Groups::warps);
  const auto outputs = memory.take<float>(Groups::warps * 8 * lanes);

  const index_t row = blockIdx.x / parts.splits;
  const index_t first_key = blockIdx.x % parts.splits * Groups::keys + Groups::group();
  const index_t item = row / s.num_queries / s.heads;
  const index_t column = row / s.num_queries % s.heads * s.head_dim + Groups::column();
  const bool active = Groups::column() < s.head_dim;
  const auto read = [&](const Element* from, bool inside) {
    return inside && active ? Eight<Element>::load(from + column, aligned) : Eight<Element>::zero();
  };
  Eight<Element> keys[Groups::rows], values[Groups::rows];
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    const index_t j = first_key + r * Groups::groups;
    keys[r] = read(key.row(item, j), j < s.num_keys);
  }
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    const index_t j = first_key + r * Groups::groups;
    values[r] = read(value.row(item, j), j < s.num_keys);
  }
  float a[8], b[8];
  read(query.row(item, row % s.num_queries), true).to(a);

  // S_j = scale q . k_j, in base 2; the lanes of a group hold the same.
  float scores[Groups::rows];
  float maximum = -INFINITY;
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    keys[r].to(b);
    const float score = scale_log2e * Groups::sum(dot_eight(a, b));
    scores[r] = first_key + r * Groups::groups < s.num_keys ? score : -INFINITY;
    maximum = fmaxf(maximum, scores[r]);
  }
  maximum = warp_max(maximum);
  const float shift = finite_or_zero(maximum);
  float sum = 0.f;
  float output[8] = {};
#pragma unroll
  for (int r = 0; r < Groups::rows; ++r) {
    const index_t j = first_key + r * Groups::groups;
    const float p = softmax_exp2<Element>(scores[r] - shift);
    sum += p;
    // The masks act after the softmax: a masked key counts in the sum.
    const bool kept = !key_keep || (j < s.num_keys && key_keep[item * s.num_keys + j] != 0);
    const float weight = kept ? p : 0.f;
    values[r].to(b);
#pragma unroll
    for (int k = 0; k < 8; ++k) output[k] = fmaf(weight, b[k], output[k]);
  }
  sum = Groups::sum_groups(sum);
#pragma unroll
  for (int k = 0; k < 8; ++k) output[k] = Groups::sum_groups(output[k]);
  if (lane_index() < lanes) {
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      outputs[warp_index() * 8 * lanes + Groups::column() + k] = output[k];
    }
    if (lane_index() == 0) {
      maxima[warp_index()] = maximum;
      sums[warp_index()] = sum;
    }
  }
  __syncthreads();

  float block_maximum = maxima[0];
#pragma unroll
  for (int warp = 1; warp < Groups::warps; ++warp) {
    block_maximum = fmaxf(block_maximum, maxima[warp]);
  }
  const float block_shift = finite_or_zero(block_maximum);
  const int d = static_cast<int>(threadIdx.x);
  float block_sum = 0.f, block_output = 0.f;
#pragma unroll
  for (int warp = 0; warp < Groups::warps; ++warp) {
    const float weight = softmax_exp2<Element>(maxima[warp] - block_shift);
    block_sum = fmaf(weight, sums[warp], block_sum);
    if (d < 8 * lanes) block_output = fmaf(weight, outputs[warp * 8 * lanes + d], block_output);
  }
  const index_t part = blockIdx.x;
  if (d < s.head_dim) parts.outputs[part * s.head_dim + d] = block_output;
  if (d == 0) parts.statistics[part] = make_float2(block_maximum, block_sum);
}

constexpr int kCombineThreads = 128;

/// output = sum_k 2^(m_k - m) o_k / sum_k 2^(m_k - m) s_k, parts in ascending order.
template <class Element>
__global__ void __launch_bounds__(kCombineThreads)
    few_query_combine_kernel(Rows<Element> output, float* log_sum_exp,
                             const std::uint8_t* query_keep, AttentionShape s, Parts parts) {
  const index_t row = blockIdx.x;
  const index_t query = row % s.num_queries, head = row / s.num_queries % s.heads;
  const index_t item = row / s.num_queries / s.heads;
  const float2* statistics = parts.statistics + row * parts.splits;
  float maximum = statistics[0].x;
  for (index_t k = 1; k < parts.splits; ++k) maximum = fmaxf(maximum, statistics[k].x);
  const int d = static_cast<int>(threadIdx.x);
  const float* outputs = parts.outputs + row * parts.splits * s.head_dim + d;
  float sum = 0.f, total = 0.f;
  for (index_t k = 0; k < parts.splits; ++k) {
    const float weight = exp2f(statistics[k].x - finite_or_zero(maximum));
    sum = fmaf(weight, statistics[k].y, sum);
    if (d < s.head_dim) total = fmaf(weight, outputs[k * s.head_dim], total);
  }
  if (d < s.head_dim) {
    const bool kept = !query_keep || query_keep[item * s.num_queries + query] != 0;
    store_float(output.row(item, query) + head * s.head_dim + d, kept ? total / sum : 0.f);
  }
  if (d == 0 && log_sum_exp) log_sum_exp[row] = maximum * ln_2 + logf(sum);
}

struct Plan {
  index_t rows, splits, outputs, total;

  explicit Plan(const AttentionShape& s)
      : rows(s.items * s.heads * s.num_queries), splits(ceil_div(s.num_keys, LaneGroups<8>::keys)) {
    outputs = ceil_div(rows * splits * static_cast<index_t>(sizeof(float2)), 64) * 64;
    total = outputs + rows * splits * s.head_dim * 4;
  }
};

bool is_empty(const AttentionShape& s) {
  return s.items == 0 || s.heads == 0 || s.num_queries == 0 || s.num_keys == 0;
}

}  // namespace

index_t few_query_forward_scratch(const AttentionForward& args) {
  return is_empty(args.shape) ? 0 : Plan(args.shape).total;
}

void few_query_forward(Queue& queue, const AttentionForward& args) {
  constexpr const char* name = "attention_forward";
  const AttentionShape& s = args.shape;
  if (is_empty(s)) return;
  const Plan plan(s);
  Parts parts;
  parts.statistics = static_cast<float2*>(queue.scratch);
  parts.outputs = reinterpret_cast<float*>(static_cast<char*>(queue.scratch) + plan.outputs);
  parts.splits = plan.splits;
  const bool aligned =
      rows_are_aligned(args.query) && rows_are_aligned(args.key) && rows_are_aligned(args.value);
  with_dtype(args.query.dtype, [&]<class Element>() {
    with_lane_groups(name, s.head_dim, [&]<int lanes>() {
      using Groups = LaneGroups<lanes>;
      const LaunchShape shape{
          dim3(grid_extent(name, plan.rows * plan.splits)), Groups::threads,
          2 * shared_bytes<float>(Groups::warps) + shared_bytes<float>(Groups::warps * 8 * lanes)};
      launch<few_query_part_kernel<Element, lanes>>(
          name, queue, shape, Rows<const Element>(args.query), Rows<const Element>(args.key),
          Rows<const Element>(args.value), args.key_keep, s, softmax_scale_log2e(s.head_dim),
          aligned, parts);
    });
    const LaunchShape shape{dim3(grid_extent(name, plan.rows)), kCombineThreads, 0};
    launch<few_query_combine_kernel<Element>>(name, queue, shape, Rows<Element>(args.output),
                                              args.log_sum_exp, args.query_keep, s, parts);
  });
}

}  // namespace vitsnna::kernels::cuda
