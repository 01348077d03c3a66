// The two-product relevance kernel: a task is one block of keys of one head, which meets every
// query block; and the same step where only the CLS row carries relevance.
#include "kernels/relevance.h"

#include <algorithm>

#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/relevance_chains.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t most_queries = 256;
constexpr index_t most_keys = 512;

struct Plan {
  Blocks queries, keys;
  index_t shift, sums, slices, total;                                     // of the whole op
  index_t query, key, value, output_gradient, scores, gradient, product;  // of a thread's slice
  index_t slice;

  static TileShape score(const RelevanceRows& a, index_t keys, index_t padded_queries) {
    return score_shape(keys, padded_queries, a.head_dim, a.query.dtype);
  }

  Plan(const Queue& queue, const RelevanceRows& a)
      : queries(a.num_tokens, most_queries), keys(a.num_tokens, most_keys) {
    const index_t rows = keys.extent(0), columns = queries.padded(0);
    const index_t head_row = a.head_dim * size_of(a.query.dtype);
    ScratchPlan of_slice;
    query = of_slice.reserve(columns * head_row);
    output_gradient = of_slice.reserve(columns * head_row);
    key = of_slice.reserve(rows * head_row);
    value = of_slice.reserve(rows * head_row);
    scores = of_slice.reserve(4 * rows * columns);
    gradient = of_slice.reserve(4 * rows * columns);
    index_t bytes = 0;
    for (const index_t k : {index_t{0}, keys.count - 1}) {
      for (const index_t q : {index_t{0}, queries.count - 1}) {
        bytes = std::max(bytes,
                         tile_product_scratch_bytes(score(a, keys.extent(k), queries.padded(q))));
      }
    }
    product = of_slice.reserve(bytes);
    slice = of_slice.bytes();

    ScratchPlan plan;
    shift = plan.reserve(4 * a.heads * queries.total());
    sums = plan.reserve(RelevanceSums::bytes(a.heads, queries.total(), a.num_tokens, a.num_chains));
    slices = plan.reserve(queue.num_threads * slice);
    total = plan.bytes();
  }
};

bool is_empty(const RelevanceRows& a) {
  return a.num_chains == 0 || a.num_tokens == 0 || a.heads == 0;
}

}  // namespace

index_t relevance_rows_scratch(const Queue& queue, const RelevanceRows& args) {
  return is_empty(args) ? 0 : Plan(queue, args).total;
}

void relevance_rows(Queue& queue, const RelevanceRows& args) {
  if (is_empty(args)) return;
  const Plan plan(queue, args);
  const index_t tokens = args.num_tokens, head_dim = args.head_dim;
  const index_t padded_tokens = plan.queries.total();
  const float scale_log2e = scale_log2e_of(head_dim);
  auto* shift = scratch_at<float>(queue, plan.shift);
  for (index_t head = 0; head < args.heads; ++head) {
    for (index_t i = 0; i < padded_tokens; ++i) {
      shift[head * padded_tokens + i] =
          i < tokens ? -log2_e * args.log_sum_exp[head * tokens + i] : no_probability;
    }
  }
  const RelevanceSums sums(args, args.heads, tokens, padded_tokens, tokens,
                           scratch_at<float>(queue, plan.sums));
  sums.prepare(queue);

  parallel_for(queue, args.heads * plan.keys.count, [&](index_t task, int thread) {
    const index_t head = task / plan.keys.count, j = task % plan.keys.count;
    const index_t column = head * head_dim;
    const index_t first_key = plan.keys.first(j), rows = plan.keys.extent(j);
    const index_t slice = plan.slices + thread * plan.slice;
    auto* query = scratch_at<std::byte>(queue, slice + plan.query);
    auto* key = scratch_at<std::byte>(queue, slice + plan.key);
    auto* value = scratch_at<std::byte>(queue, slice + plan.value);
    auto* output_gradient = scratch_at<std::byte>(queue, slice + plan.output_gradient);
    auto* scores = scratch_at<float>(queue, slice + plan.scores);
    auto* gradient = scratch_at<float>(queue, slice + plan.gradient);
    auto* product = scratch_at<std::byte>(queue, slice + plan.product);
    copy_head(args.key, 0, first_key, column, rows, rows, head_dim, key);
    if (args.output_gradient.data) {
      copy_head(args.value, 0, first_key, column, rows, rows, head_dim, value);
    }
    for (index_t block = 0; block < plan.queries.count; ++block) {
      const index_t first = plan.queries.first(block), columns = plan.queries.extent(block);
      const index_t padded = plan.queries.padded(block);
      const float* tile_shift = shift + head * padded_tokens + first;
      copy_head(args.query, 0, first, column, columns, padded, head_dim, query);
      tile_product(Plan::score(args, rows, padded), key, query, scores, product);
      const ScoreTile tile{rows, padded, scores};
      if (!args.output_gradient.data) {
        sums.add(tile, nullptr, 0, head, first, first_key, scale_log2e, tile_shift);
        continue;
      }
      if (args.gradients > 1) {
        vector_loops().probability_tile(tile, scale_log2e, tile_shift, nullptr);
        tile_shift = nullptr;
      }
      for (index_t g = 0; g < args.gradients; ++g) {
        copy_head(args.output_gradient, g, first, column, columns, padded, head_dim,
                  output_gradient);
        tile_product(Plan::score(args, rows, padded), value, output_gradient, gradient, product);
        sums.add(tile, gradient, g, head, first, first_key, scale_log2e, tile_shift);
      }
    }
  });
  sums.finish();
}

void relevance_cls_row(Queue&, const RelevanceClsRow& args) {
  const index_t tokens = args.num_tokens;
  for (index_t c = 0; c < args.num_chains; ++c) {
    const RelevanceChain& chain = args.chains[c];
    for (index_t j = 0; j < tokens; ++j) {
      float sum = 0;
      for (index_t head = 0; head < args.heads; ++head) {
        float part = args.attention[head * tokens + j];
        if (args.attention_gradient) {
          part *= std::max(
              args.attention_gradient[(chain.gradient * args.heads + head) * tokens + j], 0.f);
        }
        if (chain.query_weight) part *= chain.query_weight[head * tokens];
        if (chain.key_weight) {
          part *= chain.key_weight[chain.key_weight_per_head ? head * tokens + j : j];
        }
        sum += part;
      }
      chain.output[j] = chain.row[j] + chain.row[0] * sum / static_cast<float>(args.heads);
    }
  }
}

}  // namespace vitsnna::kernels::cpu
