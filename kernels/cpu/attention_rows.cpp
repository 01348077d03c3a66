// Attention of a few query rows, with all their scores at once: probabilities, gradients before the
// softmax, and the forward of a single (CLS) query.
#include "kernels/cpu/attention_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention.h"
#include "kernels/cpu/attention_single_query.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"

namespace vitsnna::kernels::cpu {
namespace {

/// A thread's slice: score tile, then the product's scratch.
struct Plan {
  index_t rows;    ///< of a whole block
  index_t blocks;  ///< of query rows
  index_t product, slice;

  Plan(const AttentionShape& shape, const ConstMatrix& left, const ConstMatrix& right)
      : rows(std::min(shape.num_queries, most_score_rows)),
        blocks(ceil_div(shape.num_queries, rows)) {
    const RowScores whole(rows, left, right, shape.num_keys, shape.head_dim);
    ScratchPlan plan;
    plan.reserve(whole.tile_bytes());
    index_t bytes = whole.product_bytes();
    if (const index_t rest = shape.num_queries % rows; rest > 0) {
      const RowScores last(rest, left, right, shape.num_keys, shape.head_dim);
      bytes = std::max(bytes, last.product_bytes());
    }
    product = plan.reserve(bytes);
    slice = plan.bytes();
  }
};

bool is_empty(const AttentionShape& s) {
  return s.items == 0 || s.heads == 0 || s.num_queries == 0 || s.num_keys == 0;
}

/// Softmax of one row of scores in place, without the division; its maximum and sum in base 2.
struct SoftmaxRow {
  float maximum = -std::numeric_limits<float>::infinity();
  float sum = 0.f;

  SoftmaxRow(float* scores, index_t columns, index_t head_dim) {
    float correction = 0.f;
    vector_loops().softmax_tile({1, round_up(columns, tile_padding), scores}, columns,
                                scale_log2e_of(head_dim), nullptr, &maximum, &sum, &correction,
                                nullptr);
  }
};

}  // namespace

index_t attention_probabilities_scratch(const Queue& queue, const AttentionProbabilities& args) {
  return is_empty(args.shape) ? 0
                              : queue.num_threads * Plan(args.shape, args.query, args.key).slice;
}

void attention_probabilities(Queue& queue, const AttentionProbabilities& args) {
  const AttentionShape& shape = args.shape;
  if (is_empty(shape)) return;
  const Plan plan(shape, args.query, args.key);
  parallel_for(queue, shape.items * shape.heads * plan.blocks, [&](index_t task, int thread) {
    const index_t first = task % plan.blocks * plan.rows;
    const index_t head = task / plan.blocks % shape.heads;
    const index_t item = task / plan.blocks / shape.heads;
    const index_t rows = std::min(plan.rows, shape.num_queries - first);
    auto* tile = scratch_at<float>(queue, thread * plan.slice);
    auto* product = scratch_at<std::byte>(queue, thread * plan.slice + plan.product);
    const RowScores scores(rows, args.query, args.key, shape.num_keys, shape.head_dim);
    scores(element(args.query, item, first, head * shape.head_dim),
           element(args.key, item, 0, head * shape.head_dim), tile, product);
    for (index_t r = 0; r < rows; ++r) {
      float* row = tile + r * scores.shape.output_stride;
      const SoftmaxRow softmax(row, shape.num_keys, shape.head_dim);
      float* to = args.probabilities +
                  ((item * shape.heads + head) * shape.num_queries + first + r) * shape.num_keys;
      vector_loops().convert(shape.num_keys, row, DType::f32, 1.f / softmax.sum, to, DType::f32);
    }
  });
}

index_t attention_gradient_scratch(const Queue& queue, const AttentionGradient& args) {
  return is_empty(args.shape)
             ? 0
             : queue.num_threads * Plan(args.shape, args.output_gradient, args.value).slice;
}

void attention_gradient(Queue& queue, const AttentionGradient& args) {
  const AttentionShape& shape = args.shape;
  if (is_empty(shape)) return;
  const Plan plan(shape, args.output_gradient, args.value);
  const index_t row_items = args.mean_items ? 1 : shape.items;
  const index_t summed_items = args.mean_items ? shape.items : 1;
  const index_t tasks = row_items * args.gradients * shape.heads * plan.blocks;
  parallel_for(queue, tasks, [&](index_t task, int thread) {
    const index_t first = task % plan.blocks * plan.rows;
    const index_t head = task / plan.blocks % shape.heads;
    const index_t result = task / plan.blocks / shape.heads;  // item * gradients + gradient
    const index_t rows = std::min(plan.rows, shape.num_queries - first);
    auto* tile = scratch_at<float>(queue, thread * plan.slice);
    auto* product = scratch_at<std::byte>(queue, thread * plan.slice + plan.product);
    const RowScores scores(rows, args.output_gradient, args.value, shape.num_keys, shape.head_dim);
    for (index_t summed = 0; summed < summed_items; ++summed) {
      const index_t item = result / args.gradients + summed;
      const index_t gradient_item = item * args.gradients + result % args.gradients;
      scores(element(args.output_gradient, gradient_item, first, head * shape.head_dim),
             element(args.value, item, 0, head * shape.head_dim), tile, product);
      for (index_t r = 0; r < rows; ++r) {
        const float* row = tile + r * scores.shape.output_stride;
        float* to =
            args.attention_gradient +
            ((result * shape.heads + head) * shape.num_queries + first + r) * shape.num_keys;
        if (args.mean_items) {
          vector_loops().add_scaled(shape.num_keys, row, DType::f32, args.weight, to);
        } else {
          vector_loops().convert(shape.num_keys, row, DType::f32, 1.f, to, DType::f32);
        }
      }
    }
  });
}

index_t single_query_forward_scratch(const Queue& queue, const AttentionForward& args) {
  const index_t slice = round_up(4 * round_up(args.shape.num_keys, tile_padding), 64) +
                        round_up(4 * args.shape.head_dim, 64);
  return queue.num_threads * slice;
}

void single_query_forward(Queue& queue, const AttentionForward& args) {
  const AttentionShape& shape = args.shape;
  const auto& loops = vector_loops();
  const RowScores scores(1, args.query, args.key, shape.num_keys, shape.head_dim);
  const index_t output_offset = round_up(scores.tile_bytes(), 64);
  const index_t slice = output_offset + round_up(4 * shape.head_dim, 64);
  parallel_for(queue, shape.items * shape.heads, [&](index_t task, int thread) {
    const index_t item = task / shape.heads, head = task % shape.heads;
    const index_t column = head * shape.head_dim;
    auto* row = scratch_at<float>(queue, thread * slice);
    auto* output = scratch_at<float>(queue, thread * slice + output_offset);
    scores(element(args.query, item, 0, column), element(args.key, item, 0, column), row, nullptr);
    const SoftmaxRow softmax(row, shape.num_keys, shape.head_dim);
    if (args.log_sum_exp) {
      args.log_sum_exp[task] = softmax.maximum * ln_2 + std::log(softmax.sum);
    }
    std::fill_n(output, shape.head_dim, 0.f);
    const bool kept = !args.query_keep || args.query_keep[item] != 0;
    for (index_t j = 0; kept && j < shape.num_keys; ++j) {
      if (args.key_keep && args.key_keep[item * shape.num_keys + j] == 0) continue;
      loops.add_scaled(shape.head_dim, element(args.value, item, j, column), args.value.dtype,
                       row[j], output);
    }
    loops.convert(shape.head_dim, output, DType::f32, 1.f / softmax.sum,
                  element(args.output, item, 0, column), args.output.dtype);
  });
}

}  // namespace vitsnna::kernels::cpu
