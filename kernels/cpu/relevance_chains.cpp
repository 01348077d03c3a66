// Row weights, tile sums and the closing sum over heads of relevance chains.
#include "kernels/cpu/relevance_chains.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"

namespace vitsnna::kernels::cpu {

RelevanceSums::RelevanceSums(const RelevanceRows& args, index_t heads, index_t queries,
                             index_t keys, float* memory)
    : args_(&args),
      heads_(heads),
      queries_(queries),
      keys_(keys),
      weights_(memory),
      sums_(memory + args.num_chains * heads * queries) {}

void RelevanceSums::prepare(const Queue& queue) const {
  parallel_for(queue, args_->num_chains * heads_, [&](index_t task, int) {
    const RelevanceChain& chain = args_->chains[task / heads_];
    const index_t head = task % heads_;
    float* weights = weights_ + task * queries_;
    for (index_t i = 0; i < queries_; ++i) {
      weights[i] = chain.query_weight ? chain.row[i] * chain.query_weight[head * queries_ + i]
                                      : chain.row[i];
    }
    std::fill_n(sums_ + task * keys_, keys_, 0.f);
  });
}

void RelevanceSums::add(const ScoreTile& probability, const float* gradient_tile, index_t g,
                        index_t head, index_t first_query, index_t first_key) const {
  for (index_t c = 0; c < args_->num_chains; ++c) {
    if (gradient_tile && args_->chains[c].gradient != g) continue;
    vector_loops().relevance_columns(probability, gradient_tile,
                                     weights_ + (c * heads_ + head) * queries_ + first_query,
                                     sums_ + (c * heads_ + head) * keys_ + first_key);
  }
}

void RelevanceSums::finish(const Queue&) const {
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
