// One forward, one backward a label group, and the chains in whichever order is asked for.
#include "explain/clean_pass.h"

#include <algorithm>

#include "explain/relevance_chain.h"

namespace vitsnna::explain {

namespace {

using engine::DType;

/// First block whose CLS rows are kept.
index_t first_kept(const ExplainContext& context) {
  return context.config().depth - kept_blocks(context.needs(), context.config());
}

/// Attention of the CLS query in one block, to `row` (1, heads, tokens).
void attention_row(const ExplainContext& context, const model::ForwardPass& forward, index_t block,
                   const Tensor& row) {
  model::cls_attention(context.pass, forward, block, row);
}

Tensor attention_row(const ExplainContext& context, const model::ForwardPass& forward,
                     index_t block) {
  const Tensor row =
      context.pass.arena.allocate(DType::f32, {1, context.config().num_heads, context.tokens()});
  attention_row(context, forward, block, row);
  return row;
}

/// G of the CLS query in one block, to `row` (labels, heads, tokens).
void gradient_row(const ExplainContext& context, const model::ForwardPass& forward, index_t block,
                  const Tensor& output_gradient, const Tensor& row) {
  const model::VitConfig& config = context.config();
  kernels::AttentionGradient args;
  args.shape = {1, config.num_heads, config.head_dim(), 1, context.tokens()};
  args.gradients = row.shape[0];
  args.value = context.values(forward, block);
  args.output_gradient = output_gradient.matrix();
  args.attention_gradient = row.f32();
  context.pass.queue.backend().attention_gradient(context.pass.queue.raw(), args);
}

std::vector<ChainWeight> paper_weights(const Needs& needs) {
  std::vector<ChainWeight> weights;
  if (needs.paper_chain) weights.push_back(ChainWeight::none);
  if (needs.paper_weighted_chain) weights.push_back(ChainWeight::key_norm);
  return weights;
}

std::vector<ChainWeight> authors_weights(const Needs& needs) {
  std::vector<ChainWeight> weights;
  if (needs.authors_chain) weights.push_back(ChainWeight::none);
  if (needs.authors_weighted_chain) weights.push_back(ChainWeight::query_norm);
  return weights;
}

void rollout(const ExplainContext& context, const model::ForwardPass& forward) {
  const engine::ArenaScope scope(context.pass.arena);
  const index_t depth = context.config().depth;
  RelevanceChains chains(context, {ChainWeight::none}, 1);
  chains.cls_step(forward, depth - 1, attention_row(context, forward, depth - 1), {});
  for (index_t block = depth - 2; block >= 0; --block) chains.full_step(forward, block, {});
  chains.copy_rows(0, context.results.rollout);
}

void transformed_attention(const ExplainContext& context, const model::ForwardPass& forward) {
  const engine::ArenaScope scope(context.pass.arena);
  const model::VitConfig& config = context.config();
  kernels::ValueNorm args;
  args.rows = context.tokens();
  args.heads = config.num_heads;
  args.head_dim = config.head_dim();
  args.value = context.values(forward, config.depth - 1);
  args.projection = context.pass.vit.weights().blocks.back().projection.forward;
  args.scale = attention_row(context, forward, config.depth - 1).f32();
  args.norm = context.results.transformed_attention.f32();
  context.pass.queue.backend().value_norm(context.pass.queue.raw(), args);
}

/// First layer first: dO of every block was kept by the backward.
void paper_chains(const ExplainContext& context, const model::ForwardPass& forward,
                  const model::BackwardPass& backward, RelevanceChains& chains, index_t labels) {
  const index_t depth = context.config().depth;
  for (index_t block = 0; block < depth; ++block) {
    const Tensor& output_gradient =
        backward.attention_output_gradient[static_cast<std::size_t>(block)];
    if (block > 0 && block + 1 < depth) {
      chains.full_step(forward, block, output_gradient);
      continue;
    }
    // In the first block only the CLS row carries relevance yet; in the last only its row has G.
    const engine::ArenaScope scope(context.pass.arena);
    const Tensor gradient = context.pass.arena.allocate(
        DType::f32, {labels, context.config().num_heads, context.tokens()});
    gradient_row(context, forward, block, output_gradient, gradient);
    chains.cls_step(forward, block, attention_row(context, forward, block), gradient);
  }
}

}  // namespace

model::ForwardPass clean_forward(const ExplainContext& context) {
  model::ForwardInput input;
  input.images = context.patchify();
  model::ForwardPass forward =
      model::forward(context.pass, context.grid, input, 1, {context.needs().record(), false});
  context.copy(forward.logits, context.results.logits);
  return forward;
}

void shared_rows(const ExplainContext& context, const model::ForwardPass& forward) {
  const index_t first = first_kept(context);
  for (index_t block = first; block < context.config().depth; ++block) {
    attention_row(context, forward, block, context.results.attention_rows.items(block - first, 1));
  }
  if (context.needs().transformed_attention) transformed_attention(context, forward);
  if (context.needs().rollout) rollout(context, forward);
}

void explain_labels(const ExplainContext& context, const model::ForwardPass& forward, index_t first,
                    index_t count, StageClock& clock) {
  using Depth = model::BackwardRequest::Depth;
  const Needs& needs = context.needs();
  const DeviceIngredients& results = context.results;
  const engine::ArenaScope scope(context.pass.arena);
  const index_t depth = context.config().depth;
  const index_t heads = context.config().num_heads;
  RelevanceChains paper(context, paper_weights(needs), count);
  RelevanceChains authors(context, authors_weights(needs), count);

  model::BackwardRequest request;
  request.gradients = count;
  request.logit_gradient = context.inputs.unit_labels.items(first, count);
  request.keep_attention_gradients = !paper.empty();
  request.depth = needs.pixel_gradient    ? Depth::patches
                  : needs.full_backward() ? Depth::attention
                                          : Depth::last_block;
  request.at_block = [&](index_t block,
                         const Tensor& output_gradient) -> const kernels::RelevanceRows* {
    const bool last = block == depth - 1;
    if (block >= first_kept(context)) {
      Tensor row = results.gradient_rows.items(block - first_kept(context), 1);
      row.shape = {context.shape.labels, heads, context.tokens()};
      row = row.items(first, count);
      gradient_row(context, forward, block, output_gradient, row);
      if (last && !authors.empty()) {
        const engine::ArenaScope row_scope(context.pass.arena);
        authors.cls_step(forward, block, attention_row(context, forward, block), row);
      }
    }
    return last || authors.empty() ? nullptr : authors.capture(forward, block);
  };
  clock.enter("backward");
  const model::BackwardPass backward = model::backward(context.pass, forward, request);
  authors.finish();
  if (!paper.empty()) {
    clock.enter("relevance");
    paper_chains(context, forward, backward, paper, count);
  }
  std::size_t position = 0;
  const auto keep = [&](const RelevanceChains& chains, const Tensor& destination) {
    if (destination) chains.copy_rows(position++, destination.items(first, count));
  };
  keep(paper, results.paper_chain);
  keep(paper, results.paper_weighted_chain);
  position = 0;
  keep(authors, results.authors_chain);
  keep(authors, results.authors_weighted_chain);
  if (needs.pixel_gradient) {
    const Tensor gradients = results.pixel_gradient.items(first, count);
    context.pass.queue.zero(gradients.data, gradients.bytes());
    for (index_t label = 0; label < count; ++label) {
      context.add_pixel_gradient(backward.patches_gradient.items(label, 1), 1.f,
                                 gradients.items(label, 1));
    }
  }
}

}  // namespace vitsnna::explain
