// Row weights, tile sums and the closing sum over heads of relevance chains.
#include "kernels/cpu/relevance_chains.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"

namespace vitsnna::kernels::cpu {

RelevanceSums::RelevanceSums(const RelevanceRows& args, index_t heads, index_t queries,
                             index_t padded_queries, index_t keys, float* memory)
    : args_(&args),
      heads_(heads),
      queries_(queries),
      padded_queries_(padded_queries),
      keys_(keys),
      weights_(memory),
      sums_(memory + args.num_chains * heads * padded_queries) {}

void RelevanceSums::prepare(const Queue& queue) const {
  parallel_for(queue, args_->num_chains * heads_, [&](index_t task, int) {
    const RelevanceChain& chain = args_->chains[task / heads_];
    const index_t head = task % heads_;
    float* weights = weights_ + task * padded_queries_;
    for (index_t i = 0; i < queries_; ++i) {
      weights[i] = chain.query_weight ? chain.row[i] * chain.query_weight[head * queries_ + i]
                                      : chain.row[i];
    }
    std::fill(weights + queries_, weights + padded_queries_, 0.f);
    std::fill_n(sums_ + task * keys_, keys_, 0.f);
  });
}

void RelevanceSums::add(const ScoreTile& tile, const float* gradient_tile, index_t g, index_t head,
                        index_t first_query, index_t first_key, float scale_log2e,
                        const float* shift, bool keep_probabilities) const {
  RelevanceTile args;
  args.tile = tile;
  args.gradient = gradient_tile;
  args.scale_log2e = scale_log2e;
  args.shift = shift;
  args.weight_stride = heads_ * padded_queries_;
  args.sum_stride = heads_ * keys_;
  const auto wanted = [&](index_t chain) {
    return chain < args_->num_chains && (!gradient_tile || args_->chains[chain].gradient == g);
  };
  for (index_t chain = 0; chain < args_->num_chains; chain += args.chains) {
    args.chains = 1;
    if (!wanted(chain)) continue;
    while (wanted(chain + args.chains)) ++args.chains;  // neighbours share a pass over the tile
    args.weights = weights_ + (chain * heads_ + head) * padded_queries_ + first_query;
    args.sums = sums_ + (chain * heads_ + head) * keys_ + first_key;
    args.keep_probabilities = keep_probabilities || chain + args.chains < args_->num_chains;
    vector_loops().relevance_tile(args);
    args.shift = nullptr;
  }
}

void RelevanceSums::finish() const {
  for (index_t c = 0; c < args_->num_chains; ++c) {
    const RelevanceChain& chain = args_->chains[c];
    for (index_t j = 0; j < keys_; ++j) {
      float sum = 0;
      for (index_t head = 0; head < heads_; ++head) {
        float part = sums_[(c * heads_ + head) * keys_ + j];
        if (chain.key_weight) {
          part *= chain.key_weight[chain.key_weight_per_head ? head * keys_ + j : j];
        }
        sum += part;
      }
      chain.output[j] = chain.row[j] + sum / static_cast<float>(heads_);
    }
  }
}

}  // namespace vitsnna::kernels::cpu
