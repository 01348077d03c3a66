// Attention backward, key stationary: a task is one head and one share of its key blocks. It meets
// every query block, keeps dK and dV of its keys and a partial dQ; the partial dQ of a head's
// shares are then added in their order.
#include <algorithm>

#include "kernels/attention.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/relevance_chains.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t most_queries = 128;
constexpr index_t most_keys = 512;
constexpr index_t most_shares = 2;  // of a head's key blocks

struct Plan {
  Blocks queries, keys;
  index_t shares;
  // of the whole op
  index_t row_dot, log2_sum_exp, partial_query_gradient, relevance = 0, slices;
  // of a thread's slice
  index_t scores, gradient, probabilities, rounded, key_gradient, value_gradient, product, slice;

  TileShape score(const AttentionBackward& a, index_t rows, index_t columns) const {
    return score_shape(rows, columns, a.shape.head_dim, a.query.row_stride, a.key.row_stride,
                       keys.size, a.query.dtype);
  }
  TileShape score_gradient(const AttentionBackward& a, index_t rows, index_t columns) const {
    return score_shape(rows, columns, a.shape.head_dim, a.output_gradient.row_stride,
                       a.value.row_stride, keys.size, a.query.dtype);
  }
  TileShape value_sum(const AttentionBackward& a, index_t rows, index_t columns) const {
    return transposed_sum_shape(rows, columns, a.shape.head_dim, keys.size,
                                a.output_gradient.row_stride, a.shape.head_dim, a.query.dtype);
  }
  TileShape key_sum(const AttentionBackward& a, index_t rows, index_t columns) const {
    return transposed_sum_shape(rows, columns, a.shape.head_dim, keys.size, a.query.row_stride,
                                a.shape.head_dim, a.query.dtype);
  }
  TileShape query_sum(const AttentionBackward& a, index_t rows, index_t columns) const {
    return weighted_sum_shape(rows, columns, a.shape.head_dim, keys.size, a.key.row_stride,
                              a.shape.head_dim, a.query.dtype);
  }

  Plan(const Queue& queue, const AttentionBackward& a)
      : queries(a.shape.num_queries, most_queries),
        keys(a.shape.num_keys, most_keys),
        shares(std::min(most_shares, keys.count)) {
    const AttentionShape& s = a.shape;
    ScratchPlan slice_plan;
    const index_t rows = queries.extent(0);
    const index_t tile = rows * keys.size;
    const bool is_bf16 = a.query.dtype == DType::bf16;
    scores = slice_plan.reserve(4 * tile);
    gradient = slice_plan.reserve(4 * tile);
    probabilities = is_bf16 ? slice_plan.reserve(2 * tile) : 0;
    rounded = is_bf16 ? slice_plan.reserve(2 * tile) : 0;
    key_gradient = slice_plan.reserve(4 * a.gradients * keys.size * s.head_dim);
    value_gradient = slice_plan.reserve(4 * a.gradients * keys.size * s.head_dim);
    index_t bytes = 0;
    for (const int q : {0, 1}) {
      for (const int k : {0, 1}) {
        const index_t rows_q = queries.extent_of_kind(q), columns = keys.extent_of_kind(k);
        for (const TileShape& shape :
             {score(a, rows_q, columns), score_gradient(a, rows_q, columns),
              value_sum(a, rows_q, columns), key_sum(a, rows_q, columns),
              query_sum(a, rows_q, columns)}) {
          bytes = std::max(bytes, tile_product_scratch_bytes(shape));
        }
      }
    }
    product = slice_plan.reserve(bytes);
    slice = slice_plan.bytes();

    ScratchPlan plan;  // items run one after the other
    row_dot = plan.reserve(4 * a.gradients * s.heads * s.num_queries);
    log2_sum_exp = plan.reserve(4 * s.heads * s.num_queries);
    partial_query_gradient =
        plan.reserve(4 * s.heads * shares * a.gradients * s.num_queries * s.head_dim);
    if (a.capture) {
      relevance = plan.reserve(
          RelevanceSums::bytes(s.heads, s.num_queries, s.num_keys, a.capture->num_chains));
    }
    slices = plan.reserve(queue.num_threads * slice);
    total_ = plan.bytes();
  }
  index_t total() const { return total_; }

 private:
  index_t total_ = 0;
};

bool is_empty(const AttentionBackward& a) {
  return a.shape.items == 0 || a.shape.heads == 0 || a.shape.num_queries == 0 ||
         a.shape.num_keys == 0 || a.gradients == 0;
}

}  // namespace

index_t attention_backward_scratch(const Queue& queue, const AttentionBackward& args) {
  return is_empty(args) ? 0 : Plan(queue, args).total();
}

void attention_backward(Queue& queue, const AttentionBackward& args) {
  if (is_empty(args)) return;
  const AttentionShape& shape = args.shape;
  const Plan plan(queue, args);
  const auto& loops = vector_loops();
  const bool is_bf16 = args.query.dtype == DType::bf16;
  const index_t head_dim = shape.head_dim;
  const index_t queries = shape.num_queries;
  const float scale = scale_of(head_dim), scale_log2e = scale_log2e_of(head_dim);
  auto* row_dot = scratch_at<float>(queue, plan.row_dot);
  auto* log2_sum_exp = scratch_at<float>(queue, plan.log2_sum_exp);
  auto* partial = scratch_at<float>(queue, plan.partial_query_gradient);
  const index_t partial_size = queries * head_dim;  // of one head, share and gradient
  RelevanceSums relevance;
  if (args.capture) {
    relevance = RelevanceSums(*args.capture, shape.heads, queries, shape.num_keys,
                              scratch_at<float>(queue, plan.relevance));
    relevance.prepare(queue);
  }

  for (index_t item = 0; item < shape.items; ++item) {
    // D_i = dO_i . O_i
    parallel_for(queue, shape.heads, [&](index_t head, int) {
      const index_t column = head * head_dim;
      for (index_t i = 0; i < queries; ++i) {
        log2_sum_exp[head * queries + i] =
            args.log_sum_exp[(item * shape.heads + head) * queries + i] * log2_e;
        for (index_t g = 0; g < args.gradients; ++g) {
          row_dot[(g * shape.heads + head) * queries + i] = loops.dot(
              head_dim, element(args.output_gradient, item * args.gradients + g, i, column),
              element(args.output, item, i, column), args.query.dtype);
        }
      }
    });
    parallel_for(queue, shape.heads * plan.shares, [&](index_t task, int thread) {
      const index_t head = task / plan.shares, share = task % plan.shares;
      const index_t column = head * head_dim;
      const index_t slice = plan.slices + thread * plan.slice;
      auto* scores = scratch_at<float>(queue, slice + plan.scores);
      auto* gradient = scratch_at<float>(queue, slice + plan.gradient);
      auto* probabilities =
          is_bf16 ? scratch_at<std::uint16_t>(queue, slice + plan.probabilities) : nullptr;
      auto* rounded = is_bf16 ? scratch_at<std::uint16_t>(queue, slice + plan.rounded) : nullptr;
      auto* key_gradient = scratch_at<float>(queue, slice + plan.key_gradient);
      auto* value_gradient = scratch_at<float>(queue, slice + plan.value_gradient);
      auto* product = scratch_at<std::byte>(queue, slice + plan.product);
      float* query_gradient = partial + task * args.gradients * partial_size;
      std::fill_n(query_gradient, args.gradients * partial_size, 0.f);

      const index_t first_block = plan.keys.count * share / plan.shares;
      const index_t last_block = plan.keys.count * (share + 1) / plan.shares;
      for (index_t j = first_block; j < last_block; ++j) {
        const index_t first_key = plan.keys.first(j), columns = plan.keys.extent(j);
        const index_t sums = plan.keys.size * head_dim;
        std::fill_n(key_gradient, args.gradients * sums, 0.f);
        std::fill_n(value_gradient, args.gradients * sums, 0.f);
        for (index_t block = 0; block < plan.queries.count; ++block) {
          const index_t first = plan.queries.first(block), rows = plan.queries.extent(block);
          tile_product(plan.score(args, rows, columns), element(args.query, item, first, column),
                       element(args.key, item, first_key, column), scores, product);
          const ScoreTile tile{rows, columns, scores, plan.keys.size};
          loops.probability_tile(tile, scale_log2e, log2_sum_exp + head * queries + first,
                                 probabilities);
          for (index_t g = 0; g < args.gradients; ++g) {
            const void* output_gradient =
                element(args.output_gradient, item * args.gradients + g, first, column);
            tile_product(plan.value_sum(args, rows, columns),
                         is_bf16 ? static_cast<const void*>(probabilities) : scores,
                         output_gradient, value_gradient + g * sums, product);
            tile_product(plan.score_gradient(args, rows, columns), output_gradient,
                         element(args.value, item, first_key, column), gradient, product);
            if (args.capture) relevance.add(tile, gradient, g, head, first, first_key);
            loops.score_gradient_tile({rows, columns, gradient, plan.keys.size}, scores,
                                      row_dot + (g * shape.heads + head) * queries + first, scale,
                                      rounded);
            const void* score_gradient = is_bf16 ? static_cast<const void*>(rounded) : gradient;
            tile_product(plan.key_sum(args, rows, columns), score_gradient,
                         element(args.query, item, first, column), key_gradient + g * sums,
                         product);
            tile_product(plan.query_sum(args, rows, columns), score_gradient,
                         element(args.key, item, first_key, column),
                         query_gradient + g * partial_size + first * head_dim, product);
          }
        }
        for (index_t g = 0; g < args.gradients; ++g) {
          for (index_t k = 0; k < columns; ++k) {
            const index_t row = item * args.gradients + g;
            loops.convert(head_dim, key_gradient + g * sums + k * head_dim, DType::f32, 1.f,
                          element(args.key_gradient, row, first_key + k, column),
                          args.key_gradient.dtype);
            loops.convert(head_dim, value_gradient + g * sums + k * head_dim, DType::f32, 1.f,
                          element(args.value_gradient, row, first_key + k, column),
                          args.value_gradient.dtype);
          }
        }
      }
    });
    parallel_for(queue, shape.heads * args.gradients, [&](index_t task, int) {
      const index_t head = task / args.gradients, g = task % args.gradients;
      float* sum = partial + (head * plan.shares * args.gradients + g) * partial_size;
      for (index_t i = 0; i < queries; ++i) {
        for (index_t share = 1; share < plan.shares; ++share) {
          loops.add_scaled(head_dim, sum + share * args.gradients * partial_size + i * head_dim,
                           DType::f32, 1.f, sum + i * head_dim);
        }
        loops.convert(head_dim, sum + i * head_dim, DType::f32, 1.f,
                      element(args.query_gradient, item * args.gradients + g, i, head * head_dim),
                      args.query_gradient.dtype);
      }
    });
  }
  if (args.capture) relevance.finish(queue);
}

}  // namespace vitsnna::kernels::cpu
