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

constexpr index_t most_queries = 128;
constexpr index_t most_keys = 512;

struct Plan {
  Blocks queries, keys;
  index_t scores, probabilities, output, maximum, sum, correction, keep, product, slice;

  TileShape score(const AttentionForward& a, index_t rows, index_t columns) const {
    return score_shape(rows, columns, a.shape.head_dim, a.query.row_stride, a.key.row_stride,
                       keys.size, a.query.dtype);
  }
  TileShape weighted_sum(const AttentionForward& a, index_t rows, index_t columns) const {
    return weighted_sum_shape(rows, columns, a.shape.head_dim, keys.size, a.value.row_stride,
                              a.shape.head_dim, a.query.dtype);
  }

  explicit Plan(const AttentionForward& a)
      : queries(a.shape.num_queries, most_queries), keys(a.shape.num_keys, most_keys) {
    ScratchPlan plan;
    const index_t rows = queries.extent(0);
    scores = plan.reserve(4 * rows * keys.size);
    probabilities = a.query.dtype == DType::bf16 ? plan.reserve(2 * rows * keys.size) : 0;
    output = plan.reserve(4 * rows * a.shape.head_dim);
    maximum = plan.reserve(4 * rows);
    sum = plan.reserve(4 * rows);
    correction = plan.reserve(4 * rows);
    keep = plan.reserve(4 * keys.size);
    index_t bytes = 0;
    for (const int q : {0, 1}) {
      for (const int k : {0, 1}) {
        const index_t extent_q = queries.extent_of_kind(q), extent_k = keys.extent_of_kind(k);
        bytes = std::max({bytes, tile_product_scratch_bytes(score(a, extent_q, extent_k)),
                          tile_product_scratch_bytes(weighted_sum(a, extent_q, extent_k))});
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
  const bool rounded = args.query.dtype == DType::bf16;
  const index_t head_dim = shape.head_dim;
  const float scale_log2e = scale_log2e_of(head_dim);

  parallel_for(
      queue, shape.items * shape.heads * plan.queries.count, [&](index_t task, int thread) {
        const index_t block = task % plan.queries.count;
        const index_t head = task / plan.queries.count % shape.heads;
        const index_t item = task / plan.queries.count / shape.heads;
        const index_t first = plan.queries.first(block), rows = plan.queries.extent(block);
        const index_t slice = thread * plan.slice;
        auto* scores = scratch_at<float>(queue, slice + plan.scores);
        auto* probabilities =
            rounded ? scratch_at<std::uint16_t>(queue, slice + plan.probabilities) : nullptr;
        auto* output = scratch_at<float>(queue, slice + plan.output);
        auto* maximum = scratch_at<float>(queue, slice + plan.maximum);
        auto* sum = scratch_at<float>(queue, slice + plan.sum);
        auto* correction = scratch_at<float>(queue, slice + plan.correction);
        auto* keep = scratch_at<float>(queue, slice + plan.keep);
        auto* product = scratch_at<std::byte>(queue, slice + plan.product);

        std::fill_n(output, rows * head_dim, 0.f);
        std::fill_n(maximum, rows, -std::numeric_limits<float>::infinity());
        std::fill_n(sum, rows, 0.f);
        for (index_t j = 0; j < plan.keys.count; ++j) {
          const index_t first_key = plan.keys.first(j), columns = plan.keys.extent(j);
          tile_product(plan.score(args, rows, columns),
                       element(args.query, item, first, head * head_dim),
                       element(args.key, item, first_key, head * head_dim), scores, product);
          if (args.key_keep) {
            const std::uint8_t* from = args.key_keep + item * shape.num_keys + first_key;
            for (index_t c = 0; c < plan.keys.size; ++c)
              keep[c] = c < columns && from[c] ? 1.f : 0.f;
          }
          loops.softmax_tile({rows, columns, scores, plan.keys.size}, scale_log2e,
                             args.key_keep ? keep : nullptr, maximum, sum, correction,
                             probabilities);
          if (j > 0) {
            for (index_t r = 0; r < rows; ++r) {
              float* row = output + r * head_dim;
              loops.convert(head_dim, row, DType::f32, correction[r], row, DType::f32);
            }
          }
          tile_product(plan.weighted_sum(args, rows, columns),
                       rounded ? static_cast<const void*>(probabilities) : scores,
                       element(args.value, item, first_key, head * head_dim), output, product);
        }
        for (index_t r = 0; r < rows; ++r) {
          const bool kept =
              !args.query_keep || args.query_keep[item * shape.num_queries + first + r] != 0;
          loops.convert(head_dim, output + r * head_dim, DType::f32, kept ? 1.f / sum[r] : 0.f,
                        element(args.output, item, first + r, head * head_dim), args.output.dtype);
          if (args.log_sum_exp) {
            args.log_sum_exp[(item * shape.heads + head) * shape.num_queries + first + r] =
                maximum[r] * ln_2 + std::log(sum[r]);
          }
        }
      });
}

}  // namespace vitsnna::kernels::cpu
