// Attention backward, key stationary: a task is one head and one share of its key blocks. It meets
// every query block, keeps dK and dV of its keys and a partial dQ; the partial dQ of a head's
// shares are then added in their order. Tiles are transposed, S^T = K Q^T: rows are keys.
#include <algorithm>

#include "kernels/attention.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/relevance_chains.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t most_queries = 256;
constexpr index_t most_keys = 512;
constexpr index_t most_shares = 2;  // of a head's key blocks
constexpr index_t most_tasks = 32;  // of the items that are in hand at once, where there are many

struct Plan {
  Blocks queries, keys;
  index_t shares;
  index_t items_at_once;
  // of the whole op, for the items in hand
  index_t row_dot, shift, partial, relevance = 0, slices, total;
  // of a thread's slice
  index_t query, key, value, output_gradient, scores, gradient, rounded_scores, rounded_gradient,
      key_gradient, value_gradient, product, slice;

  static TileShape score(const AttentionBackward& a, index_t keys, index_t padded_queries) {
    return score_shape(keys, padded_queries, a.shape.head_dim, a.query.dtype);
  }
  static TileShape key_sum(const AttentionBackward& a, index_t keys, index_t padded_queries) {
    return weighted_sum_shape(keys, padded_queries, a.shape.head_dim, a.query.dtype);
  }
  static TileShape query_sum(const AttentionBackward& a, index_t keys, index_t padded_queries) {
    return transposed_sum_shape(padded_queries, keys, a.shape.head_dim, a.query.dtype);
  }

  Plan(const Queue& queue, const AttentionBackward& a)
      : queries(a.shape.num_queries, most_queries),
        keys(a.shape.num_keys, most_keys),
        shares(std::min(most_shares, keys.count)),
        items_at_once(a.capture ? 1
                                : std::clamp<index_t>(most_tasks / (a.shape.heads * shares), 1,
                                                      a.shape.items)) {
    const AttentionShape& s = a.shape;
    const bool is_bf16 = a.query.dtype == DType::bf16;
    const index_t rows = keys.extent(0), columns = queries.padded(0);
    const index_t head_row = s.head_dim * size_of(a.query.dtype);
    ScratchPlan of_slice;
    query = of_slice.reserve(columns * head_row);
    output_gradient = of_slice.reserve(columns * head_row);
    key = of_slice.reserve(rows * head_row);
    value = of_slice.reserve(rows * head_row);
    scores = of_slice.reserve(4 * rows * columns);
    gradient = of_slice.reserve(4 * rows * columns);
    rounded_scores = is_bf16 ? of_slice.reserve(2 * rows * columns) : 0;
    rounded_gradient = is_bf16 ? of_slice.reserve(2 * rows * columns) : 0;
    key_gradient = of_slice.reserve(4 * a.gradients * rows * s.head_dim);
    value_gradient = of_slice.reserve(4 * a.gradients * rows * s.head_dim);
    index_t bytes = 0;
    for (const index_t k : {index_t{0}, keys.count - 1}) {
      for (const index_t q : {index_t{0}, queries.count - 1}) {
        const index_t extent = keys.extent(k), padded = queries.padded(q);
        for (const TileShape& shape :
             {score(a, extent, padded), key_sum(a, extent, padded), query_sum(a, extent, padded)}) {
          bytes = std::max(bytes, tile_product_scratch_bytes(shape));
        }
      }
    }
    product = of_slice.reserve(bytes);
    slice = of_slice.bytes();

    ScratchPlan plan;
    const index_t rows_at_once = items_at_once * s.heads * queries.total();
    row_dot = plan.reserve(4 * a.gradients * rows_at_once);
    shift = plan.reserve(4 * rows_at_once);
    partial = plan.reserve(4 * shares * a.gradients * rows_at_once * s.head_dim);
    if (a.capture) {
      relevance = plan.reserve(
          RelevanceSums::bytes(s.heads, queries.total(), s.num_keys, a.capture->num_chains));
    }
    slices = plan.reserve(queue.num_threads * slice);
    total = plan.bytes();
  }
};

bool is_empty(const AttentionBackward& a) {
  return a.shape.items == 0 || a.shape.heads == 0 || a.shape.num_queries == 0 ||
         a.shape.num_keys == 0 || a.gradients == 0;
}

/// The op on one item.
struct Item {
  const Queue& queue;
  const AttentionBackward& args;
  const Plan& plan;
  const RelevanceSums* relevance;
  index_t item;
  index_t place;  ///< among the items in hand
  const VectorLoops& loops = vector_loops();
  const AttentionShape& shape = args.shape;
  const index_t head_dim = shape.head_dim;
  const bool is_bf16 = args.query.dtype == DType::bf16;
  const index_t padded_queries = plan.queries.total();
  const index_t partial_size = padded_queries * head_dim;  // of one head, share and gradient
  float* const row_dot = scratch_at<float>(queue, plan.row_dot) +
                         place * args.gradients * shape.heads * padded_queries;
  float* const shift = scratch_at<float>(queue, plan.shift) + place * shape.heads * padded_queries;
  float* const partial = scratch_at<float>(queue, plan.partial) +
                         place * shape.heads * plan.shares * args.gradients * partial_size;

  /// D_i = dO_i . O_i and the log-sum-exp in base 2, for one head.
  void prepare(index_t head) const {
    const index_t column = head * head_dim;
    for (index_t i = 0; i < padded_queries; ++i) {
      const bool inside = i < shape.num_queries;
      shift[head * padded_queries + i] =
          inside ? -log2_e * args.log_sum_exp[(item * shape.heads + head) * shape.num_queries + i]
                 : no_probability;
      for (index_t g = 0; g < args.gradients; ++g) {
        row_dot[(g * shape.heads + head) * padded_queries + i] =
            inside ? loops.dot(head_dim,
                               element(args.output_gradient, item * args.gradients + g, i, column),
                               element(args.output, item, i, column), args.query.dtype)
                   : 0.f;
      }
    }
  }

  void run(index_t head, index_t share, int thread) const {
    const index_t column = head * head_dim;
    const index_t slice = plan.slices + thread * plan.slice;
    auto* query = scratch_at<std::byte>(queue, slice + plan.query);
    auto* key = scratch_at<std::byte>(queue, slice + plan.key);
    auto* value = scratch_at<std::byte>(queue, slice + plan.value);
    auto* output_gradient = scratch_at<std::byte>(queue, slice + plan.output_gradient);
    auto* scores = scratch_at<float>(queue, slice + plan.scores);
    auto* gradient = scratch_at<float>(queue, slice + plan.gradient);
    auto* rounded_scores =
        is_bf16 ? scratch_at<std::uint16_t>(queue, slice + plan.rounded_scores) : nullptr;
    auto* rounded_gradient =
        is_bf16 ? scratch_at<std::uint16_t>(queue, slice + plan.rounded_gradient) : nullptr;
    auto* key_gradient = scratch_at<float>(queue, slice + plan.key_gradient);
    auto* value_gradient = scratch_at<float>(queue, slice + plan.value_gradient);
    auto* product = scratch_at<std::byte>(queue, slice + plan.product);
    const void* probability_operand = is_bf16 ? static_cast<const void*>(rounded_scores) : scores;
    const void* gradient_operand = is_bf16 ? static_cast<const void*>(rounded_gradient) : gradient;
    float* query_gradient = partial + (head * plan.shares + share) * args.gradients * partial_size;
    std::fill_n(query_gradient, args.gradients * partial_size, 0.f);

    const index_t first_block = plan.keys.count * share / plan.shares;
    const index_t last_block = plan.keys.count * (share + 1) / plan.shares;
    for (index_t j = first_block; j < last_block; ++j) {
      const index_t first_key = plan.keys.first(j), rows = plan.keys.extent(j);
      const index_t sum_size = rows * head_dim;
      copy_head(args.key, item, first_key, column, rows, rows, head_dim, key);
      copy_head(args.value, item, first_key, column, rows, rows, head_dim, value);
      std::fill_n(key_gradient, args.gradients * sum_size, 0.f);
      std::fill_n(value_gradient, args.gradients * sum_size, 0.f);
      for (index_t block = 0; block < plan.queries.count; ++block) {
        const index_t first = plan.queries.first(block), columns = plan.queries.extent(block);
        const index_t padded = plan.queries.padded(block);
        copy_head(args.query, item, first, column, columns, padded, head_dim, query);
        tile_product(Plan::score(args, rows, padded), key, query, scores, product);
        loops.probability_tile({rows, padded, scores}, scale_log2e_of(head_dim),
                               shift + head * padded_queries + first, rounded_scores);
        for (index_t g = 0; g < args.gradients; ++g) {
          copy_head(args.output_gradient, item * args.gradients + g, first, column, columns, padded,
                    head_dim, output_gradient);
          tile_product(Plan::key_sum(args, rows, padded), probability_operand, output_gradient,
                       value_gradient + g * sum_size, product);
          tile_product(Plan::score(args, rows, padded), value, output_gradient, gradient, product);
          if (relevance) {
            relevance->add({rows, padded, scores}, gradient, g, head, first, first_key);
          }
          loops.score_gradient_tile({rows, padded, gradient}, scores,
                                    row_dot + (g * shape.heads + head) * padded_queries + first,
                                    scale_of(head_dim), rounded_gradient);
          tile_product(Plan::key_sum(args, rows, padded), gradient_operand, query,
                       key_gradient + g * sum_size, product);
          tile_product(Plan::query_sum(args, rows, padded), gradient_operand, key,
                       query_gradient + g * partial_size + first * head_dim, product);
        }
      }
      for (index_t g = 0; g < args.gradients; ++g) {
        for (index_t k = 0; k < rows; ++k) {
          write(key_gradient + g * sum_size + k * head_dim, args.key_gradient, g, first_key + k,
                column);
          write(value_gradient + g * sum_size + k * head_dim, args.value_gradient, g, first_key + k,
                column);
        }
      }
    }
  }

  /// dQ of one head: its shares, in their order.
  void add_shares(index_t head, index_t g) const {
    float* sum = partial + (head * plan.shares * args.gradients + g) * partial_size;
    for (index_t i = 0; i < shape.num_queries; ++i) {
      float* row = sum + i * head_dim;
      for (index_t share = 1; share < plan.shares; ++share) {
        loops.add_scaled(head_dim, row + share * args.gradients * partial_size, DType::f32, 1.f,
                         row);
      }
      write(row, args.query_gradient, g, i, head * head_dim);
    }
  }

  void write(const float* row, const Matrix& to, index_t g, index_t r, index_t column) const {
    loops.convert(head_dim, row, DType::f32, 1.f, element(to, item * args.gradients + g, r, column),
                  to.dtype);
  }
};

}  // namespace

index_t attention_backward_scratch(const Queue& queue, const AttentionBackward& args) {
  return is_empty(args) ? 0 : Plan(queue, args).total;
}

void attention_backward(Queue& queue, const AttentionBackward& args) {
  if (is_empty(args)) return;
  const Plan plan(queue, args);
  const index_t heads = args.shape.heads;
  RelevanceSums relevance;
  if (args.capture) {
    relevance = RelevanceSums(*args.capture, heads, args.shape.num_queries, plan.queries.total(),
                              args.shape.num_keys, scratch_at<float>(queue, plan.relevance));
    relevance.prepare(queue);
  }
  for (index_t first = 0; first < args.shape.items; first += plan.items_at_once) {
    const index_t items = std::min(plan.items_at_once, args.shape.items - first);
    const auto item = [&](index_t place) {
      return Item{queue, args, plan, args.capture ? &relevance : nullptr, first + place, place};
    };
    parallel_for(queue, items * heads,
                 [&](index_t task, int) { item(task / heads).prepare(task % heads); });
    const index_t tasks = heads * plan.shares;
    parallel_for(queue, items * tasks, [&](index_t task, int thread) {
      item(task / tasks).run(task % tasks / plan.shares, task % plan.shares, thread);
    });
    const index_t sums = heads * args.gradients;
    parallel_for(queue, items * sums, [&](index_t task, int) {
      item(task / sums).add_shares(task % sums / args.gradients, task % args.gradients);
    });
  }
  if (args.capture) relevance.finish();
}

}  // namespace vitsnna::kernels::cpu
