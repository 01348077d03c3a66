// One forward, one backward a label group, and the chains in whichever order is asked for.
#include "explain/clean_pass.h"

#include <algorithm>

#include "explain/relevance_chain.h"

namespace vitsnna::explain {

namespace {

using engine::DType;

/// First block whose CLS rows are kept.
index_t first_kept(const ExplainContext& context) {
  return context.needs.cls_rows_of_every_block ? 0 : context.config().depth - 1;
}

Tensor attention_row(const ExplainContext& context, const model::ForwardPass& forward,
                     index_t block) {
  const Tensor row =
      context.pass.arena.allocate(DType::f32, {1, context.config().num_heads, context.tokens()});
  model::cls_attention(context.pass, forward, block, row);
  return row;
}

/// G of the CLS query in one block: (labels, heads, tokens).
Tensor gradient_row(const ExplainContext& context, const model::ForwardPass& forward, index_t block,
                    const Tensor& output_gradient, index_t labels) {
  const model::VitConfig& config = context.config();
  const Tensor row =
      context.pass.arena.allocate(DType::f32, {labels, config.num_heads, context.tokens()});
  kernels::AttentionGradient args;
  args.shape = {1, config.num_heads, config.head_dim(), 1, context.tokens()};
  args.gradients = labels;
  args.value = block == config.depth - 1
                   ? forward.last.key_value.columns_from(config.embed_dim)
                   : forward.blocks[block].query_key_value.columns_from(2 * config.embed_dim);
  args.output_gradient = output_gradient.matrix();
  args.attention_gradient = row.f32();
  context.pass.queue.backend().attention_gradient(context.pass.queue.raw(), args);
  return row;
}

void append(std::vector<float>& rows, std::span<const float> row) {
  rows.insert(rows.end(), row.begin(), row.end());
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

void rollout(const ExplainContext& context, const model::ForwardPass& forward,
             Ingredients& ingredients) {
  const engine::ArenaScope scope(context.pass.arena);
  const index_t depth = context.config().depth;
  RelevanceChains chains(context, {ChainWeight::none}, 1);
  chains.cls_step(forward, depth - 1, attention_row(context, forward, depth - 1), {});
  for (index_t block = depth - 2; block >= 0; --block) chains.full_step(forward, block, {});
  ingredients.rollout = chains.row(0, 0);
  // Rows of mean_h A + I sum to 2: normalising each block's halves the row, exactly.
  const float scale = 1.f / static_cast<float>(index_t{1} << std::min<index_t>(depth, 62));
  for (float& value : ingredients.rollout) value *= scale;
}

void transformed_attention(const ExplainContext& context, const model::ForwardPass& forward,
                           Ingredients& ingredients) {
  const engine::ArenaScope scope(context.pass.arena);
  const model::VitConfig& config = context.config();
  const Tensor norm = context.pass.arena.allocate(DType::f32, {context.tokens()});
  kernels::ValueNorm args;
  args.rows = context.tokens();
  args.heads = config.num_heads;
  args.head_dim = config.head_dim();
  args.value = forward.last.key_value.columns_from(config.embed_dim);
  args.projection = context.pass.vit.weights().blocks.back().projection.forward;
  args.scale = attention_row(context, forward, config.depth - 1).f32();
  args.norm = norm.f32();
  context.pass.queue.backend().value_norm(context.pass.queue.raw(), args);
  ingredients.transformed_attention = context.download(norm);
}

/// First layer first: dO of every block was kept by the backward.
void paper_chains(const ExplainContext& context, const model::ForwardPass& forward,
                  const model::BackwardPass& backward, RelevanceChains& chains, index_t labels) {
  const index_t depth = context.config().depth;
  for (index_t block = 0; block < depth; ++block) {
    const Tensor& output_gradient =
        backward.attention_output_gradient[static_cast<std::size_t>(block)];
    const engine::ArenaScope scope(context.pass.arena);
    if (block > 0 && block + 1 < depth) {
      chains.full_step(forward, block, output_gradient);
      continue;
    }
    // In the first block only the CLS row carries relevance yet; in the last only its row has G.
    chains.cls_step(forward, block, attention_row(context, forward, block),
                    gradient_row(context, forward, block, output_gradient, labels));
  }
}

}  // namespace

model::ForwardPass clean_forward(const ExplainContext& context, Ingredients& ingredients) {
  model::ForwardInput input;
  input.images = context.patchify();
  model::ForwardPass forward =
      model::forward(context.pass, context.grid, input, 1, {context.needs.record(), false});
  ingredients.heads = context.config().num_heads;
  ingredients.tokens = context.tokens();
  ingredients.blocks = context.config().depth - first_kept(context);
  ingredients.logits = context.download(forward.logits);
  return forward;
}

void shared_rows(const ExplainContext& context, const model::ForwardPass& forward,
                 Ingredients& ingredients) {
  for (index_t block = first_kept(context); block < context.config().depth; ++block) {
    const engine::ArenaScope scope(context.pass.arena);
    append(ingredients.attention_rows, context.download(attention_row(context, forward, block)));
  }
  if (context.needs.transformed_attention) transformed_attention(context, forward, ingredients);
  if (context.needs.rollout) rollout(context, forward, ingredients);
}

void explain_labels(const ExplainContext& context, const model::ForwardPass& forward,
                    std::span<const index_t> labels, std::size_t first, StageClock& clock,
                    Ingredients& ingredients) {
  using Depth = model::BackwardRequest::Depth;
  const Needs& needs = context.needs;
  const engine::ArenaScope scope(context.pass.arena);
  const auto count = static_cast<index_t>(labels.size());
  const index_t depth = context.config().depth;
  RelevanceChains paper(context, paper_weights(needs), count);
  RelevanceChains authors(context, authors_weights(needs), count);
  const index_t kept = depth - first_kept(context);
  const index_t row_elements = context.config().num_heads * context.tokens();
  std::vector<std::vector<float>> gradient_rows(static_cast<std::size_t>(kept));

  model::BackwardRequest request;
  request.gradients = count;
  request.logit_gradient = context.one_hot(labels, 1);
  request.keep_attention_gradients = !paper.empty();
  request.depth = needs.pixel_gradient    ? Depth::patches
                  : needs.full_backward() ? Depth::attention
                                          : Depth::last_block;
  request.at_block = [&](index_t block,
                         const Tensor& output_gradient) -> const kernels::RelevanceRows* {
    const bool last = block == depth - 1;
    if (block >= first_kept(context)) {
      const engine::ArenaScope row_scope(context.pass.arena);
      const Tensor gradient = gradient_row(context, forward, block, output_gradient, count);
      gradient_rows[static_cast<std::size_t>(block - first_kept(context))] =
          context.download(gradient);
      if (last && !authors.empty()) {
        authors.cls_step(forward, block, attention_row(context, forward, block), gradient);
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
  const auto take = [&](RelevanceChains& chains, bool wanted, std::size_t& position, index_t label,
                        std::vector<float>& destination) {
    if (wanted) destination = chains.row(position++, label);
  };
  for (index_t label = 0; label < count; ++label) {
    LabelIngredients& result = ingredients.labels[first + static_cast<std::size_t>(label)];
    for (const std::vector<float>& rows : gradient_rows) {
      append(result.gradient_rows,
             std::span(rows).subspan(static_cast<std::size_t>(label * row_elements),
                                     static_cast<std::size_t>(row_elements)));
    }
    std::size_t position = 0;
    take(paper, needs.paper_chain, position, label, result.paper_chain);
    take(paper, needs.paper_weighted_chain, position, label, result.paper_weighted_chain);
    position = 0;
    take(authors, needs.authors_chain, position, label, result.authors_chain);
    take(authors, needs.authors_weighted_chain, position, label, result.authors_weighted_chain);
    if (needs.pixel_gradient) {
      const engine::ArenaScope pixel_scope(context.pass.arena);
      const Tensor gradient = context.pass.arena.allocate(
          DType::f32, {context.config().channels, context.height, context.width});
      context.pass.queue.zero(gradient.data, gradient.bytes());
      context.add_pixel_gradient(backward.patches_gradient.items(label, 1), 1.f, gradient);
      result.pixel_gradient = context.download(gradient);
    }
  }
}

}  // namespace vitsnna::explain
