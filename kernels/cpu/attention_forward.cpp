// Attention forward: a task is one block of query rows of one head, which meets the keys block by
// block with an online softmax, so that scores exist only as one tile a thread.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention.h"
#include "kernels/cpu/attention_single_query.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t most_queries = 256;
constexpr index_t most_keys = 512;

struct Plan {
  Blocks queries, keys;
  // of a thread's slice
  index_t query, key, value, scores, rounded, output, maximum, sum, correction, keep, product;
  index_t slice;

  static TileShape score(const AttentionForward& a, index_t rows, index_t padded_keys) {
    return score_shape(rows, padded_keys, a.shape.head_dim, a.query.dtype);
  }
  static TileShape weighted_sum(const AttentionForward& a, index_t rows, index_t padded_keys) {
    return weighted_sum_shape(rows, padded_keys, a.shape.head_dim, a.query.dtype);
  }

  explicit Plan(const AttentionForward& a)
      : queries(a.shape.num_queries, most_queries), keys(a.shape.num_keys, most_keys) {
    ScratchPlan plan;
    const index_t rows = queries.extent(0), columns = keys.padded(0);
    const index_t head_row = a.shape.head_dim * size_of(a.query.dtype);
    query = plan.reserve(rows * head_row);
    key = plan.reserve(columns * head_row);
    value = plan.reserve(columns * head_row);
    scores = plan.reserve(4 * rows * columns);
    rounded = a.query.dtype == DType::bf16 ? plan.reserve(2 * rows * columns) : 0;
    output = plan.reserve(4 * rows * a.shape.head_dim);
    maximum = plan.reserve(4 * rows);
    sum = plan.reserve(4 * rows);
    correction = plan.reserve(4 * rows);
    keep = plan.reserve(4 * columns);
    index_t bytes = 0;
    for (const index_t q : {index_t{0}, queries.count - 1}) {
      for (const index_t k : {index_t{0}, keys.count - 1}) {
        for (const TileShape& shape : {score(a, queries.extent(q), keys.padded(k)),
                                       weighted_sum(a, queries.extent(q), keys.padded(k))}) {
          bytes = std::max(bytes, tile_product_scratch_bytes(shape));
        }
      }
    }
    product = plan.reserve(bytes);
    slice = plan.bytes();
  }
};

bool is_empty(const AttentionShape& s) {
  return s.items == 0 || s.heads == 0 || s.num_queries == 0 || s.num_keys == 0;
}

}  // namespace

index_t attention_forward_scratch(const Queue& queue, const AttentionForward& args) {
  if (is_empty(args.shape)) return 0;
  if (args.shape.num_queries == 1) return single_query_forward_scratch(queue, args);
  return queue.num_threads * Plan(args).slice;
}

void attention_forward(Queue& queue, const AttentionForward& args) {
  const AttentionShape& shape = args.shape;
  if (is_empty(shape)) return;
  if (shape.num_queries == 1) return single_query_forward(queue, args);
  const Plan plan(args);
  const auto& loops = vector_loops();
  const bool is_bf16 = args.query.dtype == DType::bf16;
  const index_t head_dim = shape.head_dim;
  const float scale_log2e = scale_log2e_of(head_dim);

  const index_t tasks = shape.items * shape.heads * plan.queries.count;
  parallel_for(queue, tasks, [&](index_t task, int thread) {
    const index_t block = task % plan.queries.count;
    const index_t head = task / plan.queries.count % shape.heads;
    const index_t item = task / plan.queries.count / shape.heads;
    const index_t column = head * head_dim;
    const index_t first = plan.queries.first(block), rows = plan.queries.extent(block);
    const index_t slice = thread * plan.slice;
    auto* query = scratch_at<std::byte>(queue, slice + plan.query);
    auto* key = scratch_at<std::byte>(queue, slice + plan.key);
    auto* value = scratch_at<std::byte>(queue, slice + plan.value);
    auto* scores = scratch_at<float>(queue, slice + plan.scores);
    auto* rounded = is_bf16 ? scratch_at<std::uint16_t>(queue, slice + plan.rounded) : nullptr;
    auto* output = scratch_at<float>(queue, slice + plan.output);
    auto* maximum = scratch_at<float>(queue, slice + plan.maximum);
    auto* sum = scratch_at<float>(queue, slice + plan.sum);
    auto* correction = scratch_at<float>(queue, slice + plan.correction);
    auto* keep = scratch_at<float>(queue, slice + plan.keep);
    auto* product = scratch_at<std::byte>(queue, slice + plan.product);

    copy_head(args.query, item, first, column, rows, rows, head_dim, query);
    std::fill_n(output, rows * head_dim, 0.f);
    std::fill_n(maximum, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(sum, rows, 0.f);
    for (index_t j = 0; j < plan.keys.count; ++j) {
      const index_t first_key = plan.keys.first(j), columns = plan.keys.extent(j);
      const index_t padded = plan.keys.padded(j);
      copy_head(args.key, item, first_key, column, columns, padded, head_dim, key);
      copy_head(args.value, item, first_key, column, columns, padded, head_dim, value);
      tile_product(Plan::score(args, rows, padded), query, key, scores, product);
      if (args.key_keep) {
        const std::uint8_t* from = args.key_keep + item * shape.num_keys + first_key;
        for (index_t c = 0; c < padded; ++c) keep[c] = c < columns && from[c] ? 1.f : 0.f;
      }
      loops.softmax_tile({rows, padded, scores}, columns, scale_log2e,
                         args.key_keep ? keep : nullptr, maximum, sum, correction, rounded);
      for (index_t r = 0; j > 0 && r < rows; ++r) {
        float* row = output + r * head_dim;
        loops.convert(head_dim, row, DType::f32, correction[r], row, DType::f32);
      }
      tile_product(Plan::weighted_sum(args, rows, padded),
                   is_bf16 ? static_cast<const void*>(rounded) : scores, value, output, product);
    }
    for (index_t r = 0; r < rows; ++r) {
      const bool kept =
          !args.query_keep || args.query_keep[item * shape.num_queries + first + r] != 0;
      loops.convert(head_dim, output + r * head_dim, DType::f32, kept ? 1.f / sum[r] : 0.f,
                    element(args.output, item, first + r, column), args.output.dtype);
      if (args.log_sum_exp) {
        args.log_sum_exp[(item * shape.heads + head) * shape.num_queries + first + r] =
            maximum[r] * ln_2 + std::log(sum[r]);
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
