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

constexpr index_t most_queries = 128;
constexpr index_t most_keys = 512;

struct Plan {
  Blocks queries, keys;
  index_t log2_sum_exp, sums, slices, total;  // of the whole op
  index_t scores, gradient, product, slice;   // of a thread's slice

  TileShape score(const RelevanceRows& a, index_t rows, index_t columns) const {
    return score_shape(rows, columns, a.head_dim, a.query.row_stride, a.key.row_stride, keys.size,
                       a.query.dtype);
  }
  TileShape score_gradient(const RelevanceRows& a, index_t rows, index_t columns) const {
    return score_shape(rows, columns, a.head_dim, a.output_gradient.row_stride, a.value.row_stride,
                       keys.size, a.query.dtype);
  }

  Plan(const Queue& queue, const RelevanceRows& a)
      : queries(a.num_tokens, most_queries), keys(a.num_tokens, most_keys) {
    ScratchPlan slice_plan;
    const index_t tile = queries.extent(0) * keys.size;
    scores = slice_plan.reserve(4 * tile);
    gradient = slice_plan.reserve(a.output_gradient.data ? 4 * tile : 0);
    index_t bytes = 0;
    for (const int q : {0, 1}) {
      for (const int k : {0, 1}) {
        const index_t rows = queries.extent_of_kind(q), columns = keys.extent_of_kind(k);
        bytes = std::max(bytes, tile_product_scratch_bytes(score(a, rows, columns)));
        if (a.output_gradient.data) {
          bytes = std::max(bytes, tile_product_scratch_bytes(score_gradient(a, rows, columns)));
        }
      }
    }
    product = slice_plan.reserve(bytes);
    slice = slice_plan.bytes();

    ScratchPlan plan;
    log2_sum_exp = plan.reserve(4 * a.heads * a.num_tokens);
    sums = plan.reserve(RelevanceSums::bytes(a.heads, a.num_tokens, a.num_tokens, a.num_chains));
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
  const auto& loops = vector_loops();
  const index_t tokens = args.num_tokens;
  const float scale_log2e = scale_log2e_of(args.head_dim);
  auto* log2_sum_exp = scratch_at<float>(queue, plan.log2_sum_exp);
  loops.convert(args.heads * tokens, args.log_sum_exp, DType::f32, log2_e, log2_sum_exp,
                DType::f32);
  const RelevanceSums sums(args, args.heads, tokens, tokens, scratch_at<float>(queue, plan.sums));
  sums.prepare(queue);

  parallel_for(queue, args.heads * plan.keys.count, [&](index_t task, int thread) {
    const index_t head = task / plan.keys.count, j = task % plan.keys.count;
    const index_t column = head * args.head_dim;
    const index_t first_key = plan.keys.first(j), columns = plan.keys.extent(j);
    const index_t slice = plan.slices + thread * plan.slice;
    auto* scores = scratch_at<float>(queue, slice + plan.scores);
    auto* gradient = scratch_at<float>(queue, slice + plan.gradient);
    auto* product = scratch_at<std::byte>(queue, slice + plan.product);
    for (index_t block = 0; block < plan.queries.count; ++block) {
      const index_t first = plan.queries.first(block), rows = plan.queries.extent(block);
      tile_product(plan.score(args, rows, columns), element(args.query, 0, first, column),
                   element(args.key, 0, first_key, column), scores, product);
      const ScoreTile tile{rows, columns, scores, plan.keys.size};
      loops.probability_tile(tile, scale_log2e, log2_sum_exp + head * tokens + first, nullptr);
      if (!args.output_gradient.data) {
        sums.add(tile, nullptr, 0, head, first, first_key);
        continue;
      }
      for (index_t g = 0; g < args.gradients; ++g) {
        tile_product(plan.score_gradient(args, rows, columns),
                     element(args.output_gradient, g, first, column),
                     element(args.value, 0, first_key, column), gradient, product);
        sums.add(tile, gradient, g, head, first, first_key);
      }
    }
  });
  sums.finish(queue);
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
