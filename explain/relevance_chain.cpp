// r <- r + r C_l per block, with C_l = mean_h relu(A w G) never formed.
#include "explain/relevance_chain.h"

#include <algorithm>
#include <utility>

namespace vitsnna::explain {

RelevanceChains::RelevanceChains(const ExplainContext& context, std::vector<ChainWeight> weights,
                                 index_t labels)
    : context_(context), weights_(std::move(weights)), labels_(labels) {
  if (empty()) return;
  const index_t count = static_cast<index_t>(weights_.size()) * labels_;
  const index_t tokens = context_.tokens();
  engine::Arena& arena = context_.pass.arena;
  rows_ = arena.allocate(engine::DType::f32, {count, tokens});
  next_rows_ = arena.allocate(engine::DType::f32, {count, tokens});
  const auto uses = [&](ChainWeight weight) {
    return std::find(weights_.begin(), weights_.end(), weight) != weights_.end();
  };
  if (uses(ChainWeight::key_norm)) key_norm_ = arena.allocate(engine::DType::f32, {tokens});
  if (uses(ChainWeight::query_norm)) {
    query_norm_ = arena.allocate(engine::DType::f32, {context_.config().num_heads, tokens});
  }
  context_.copy(context_.inputs.first_token, rows_);
}

void RelevanceChains::weigh(const model::ForwardPass& forward, index_t block) {
  if (!key_norm_ && !query_norm_) return;
  kernels::ValueNorm norm;
  norm.rows = context_.tokens();
  norm.heads = context_.config().num_heads;
  norm.head_dim = context_.config().head_dim();
  norm.value = context_.values(forward, block);
  norm.projection =
      context_.pass.vit.weights().blocks[static_cast<std::size_t>(block)].projection.forward;
  if (key_norm_) norm.norm = key_norm_.f32();
  if (query_norm_) norm.norm_per_head = query_norm_.f32();
  context_.pass.queue.backend().value_norm(context_.pass.queue.raw(), norm);
}

void RelevanceChains::describe() {
  const index_t tokens = context_.tokens();
  chains_.clear();
  for (std::size_t weight = 0; weight < weights_.size(); ++weight) {
    for (index_t label = 0; label < labels_; ++label) {
      const index_t offset = (static_cast<index_t>(weight) * labels_ + label) * tokens;
      kernels::RelevanceChain chain;
      chain.gradient = label;
      chain.row = rows_.f32() + offset;
      chain.output = next_rows_.f32() + offset;
      if (weights_[weight] == ChainWeight::key_norm) chain.key_weight = key_norm_.f32();
      if (weights_[weight] == ChainWeight::query_norm) chain.query_weight = query_norm_.f32();
      chains_.push_back(chain);
    }
  }
}

void RelevanceChains::cls_step(const model::ForwardPass& forward, index_t block,
                               const Tensor& attention, const Tensor& gradient) {
  finish();
  weigh(forward, block);
  describe();
  kernels::RelevanceClsRow step;
  step.heads = context_.config().num_heads;
  step.num_tokens = context_.tokens();
  step.attention = attention.f32();
  step.attention_gradient = gradient ? gradient.f32() : nullptr;
  step.chains = chains_.data();
  step.num_chains = static_cast<index_t>(chains_.size());
  context_.pass.queue.backend().relevance_cls_row(context_.pass.queue.raw(), step);
  std::swap(rows_, next_rows_);
}

void RelevanceChains::full_step(const model::ForwardPass& forward, index_t block,
                                const Tensor& output_gradient) {
  kernels::RelevanceRows step = *capture(forward, block);
  const model::BlockRecord& record = forward.blocks[block];
  const index_t width = context_.config().embed_dim;
  step.heads = context_.config().num_heads;
  step.head_dim = context_.config().head_dim();
  step.num_tokens = context_.tokens();
  step.gradients = labels_;
  step.query = record.query_key_value.columns_from(0);
  step.key = record.query_key_value.columns_from(width);
  step.value = record.query_key_value.columns_from(2 * width);
  step.log_sum_exp = record.log_sum_exp.f32();
  if (output_gradient) step.output_gradient = output_gradient.matrix();
  context_.pass.queue.backend().relevance_rows(context_.pass.queue.raw(), step);
  finish();
}

const kernels::RelevanceRows* RelevanceChains::capture(const model::ForwardPass& forward,
                                                       index_t block) {
  finish();
  weigh(forward, block);
  describe();
  captured_ = {};
  captured_.chains = chains_.data();
  captured_.num_chains = static_cast<index_t>(chains_.size());
  pending_ = true;
  return &captured_;
}

void RelevanceChains::finish() {
  if (pending_) std::swap(rows_, next_rows_);
  pending_ = false;
}

void RelevanceChains::copy_rows(std::size_t weight, const Tensor& destination) const {
  context_.copy(rows_.items(static_cast<index_t>(weight) * labels_, labels_), destination);
}

}  // namespace vitsnna::explain
