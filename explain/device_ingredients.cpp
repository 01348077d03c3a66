// One tensor an ingredient, one copy to the host each.
#include "explain/device_ingredients.h"

#include <algorithm>

#include "explain/explain_context.h"

namespace vitsnna::explain {

namespace {

using engine::DType;

/// Rows [label] of a (labels, ...) array, given to a member of each label.
void hand_out(const std::vector<float>& values, index_t labels_held,
              std::vector<LabelIngredients>& labels, std::vector<float> LabelIngredients::*member) {
  if (values.empty()) return;
  const auto length = static_cast<std::ptrdiff_t>(values.size()) / labels_held;
  for (std::size_t label = 0; label < labels.size(); ++label) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(label) * length;
    (labels[label].*member).assign(first, first + length);
  }
}

}  // namespace

index_t kept_blocks(const Needs& needs, const model::VitConfig& config) {
  return needs.cls_rows_of_every_block ? config.depth : 1;
}

void DeviceIngredients::allocate(engine::Arena& arena, const model::VitConfig& config,
                                 const ExplanationShape& shape) {
  const Needs& needs = shape.needs;
  const index_t tokens = 1 + shape.height / config.patch_size * (shape.width / config.patch_size);
  const index_t pixels = config.channels * shape.height * shape.width;
  const index_t blocks = kept_blocks(needs, config), heads = config.num_heads;
  const auto wanted = [&](bool is_wanted, Tensor& tensor, engine::Shape extents) {
    if (is_wanted) tensor = arena.allocate(DType::f32, extents);
  };
  wanted(true, logits, {1, config.num_classes});
  wanted(needs.path_pixel_gradient, baseline_logits, {1, config.num_classes});
  wanted(true, attention_rows, {blocks, heads, tokens});
  wanted(needs.transformed_attention, transformed_attention, {tokens});
  wanted(needs.rollout, rollout, {1, tokens});
  wanted(true, gradient_rows, {blocks, shape.labels, heads, tokens});
  const engine::Shape rows{shape.labels, tokens}, head_rows{shape.labels, heads, tokens};
  wanted(needs.paper_chain, paper_chain, rows);
  wanted(needs.paper_weighted_chain, paper_weighted_chain, rows);
  wanted(needs.authors_chain, authors_chain, rows);
  wanted(needs.authors_weighted_chain, authors_weighted_chain, rows);
  wanted(needs.noisy_last_gradient, noisy_last_gradient, head_rows);
  wanted(needs.scaled_last_gradient, scaled_last_gradient, head_rows);
  const engine::Shape pictures{shape.labels, pixels};
  wanted(needs.path_pixel_gradient, path_pixel_gradient, pictures);
  wanted(needs.noisy_pixel_gradient, noisy_pixel_gradient, pictures);
  wanted(needs.pixel_gradient, pixel_gradient, pictures);
}

std::vector<float> DeviceIngredients::download_logits(engine::Queue& queue) const {
  return explain::download(queue, logits);
}

Ingredients DeviceIngredients::download(engine::Queue& queue, index_t depth,
                                        std::size_t labels) const {
  Ingredients in;
  in.blocks = attention_rows.shape[0];
  in.heads = attention_rows.shape[1];
  in.tokens = attention_rows.shape[2];
  const auto host = [&](const Tensor& tensor) {
    return tensor ? explain::download(queue, tensor) : std::vector<float>();
  };
  in.logits = host(logits);
  in.baseline_logits = host(baseline_logits);
  in.attention_rows = host(attention_rows);
  in.transformed_attention = host(transformed_attention);
  in.rollout = host(rollout);
  // Rows of mean_h A + I sum to 2: normalising each block's halves the row, exactly.
  const float scale = 1.f / static_cast<float>(index_t{1} << std::min<index_t>(depth, 62));
  for (float& value : in.rollout) value *= scale;
  in.labels.resize(labels);
  const index_t held = gradient_rows.shape[1];
  for (index_t block = 0; block < in.blocks; ++block) {  // (labels, heads, tokens) of each block
    const std::vector<float> rows = host(gradient_rows.items(block, 1));
    const auto length = in.heads * in.tokens;
    for (std::size_t label = 0; label < labels; ++label) {
      const auto first = rows.begin() + static_cast<index_t>(label) * length;
      in.labels[label].gradient_rows.insert(in.labels[label].gradient_rows.end(), first,
                                            first + length);
    }
  }
  const auto per_label = [&](const Tensor& tensor, std::vector<float> LabelIngredients::*member) {
    hand_out(host(tensor), held, in.labels, member);
  };
  per_label(paper_chain, &LabelIngredients::paper_chain);
  per_label(paper_weighted_chain, &LabelIngredients::paper_weighted_chain);
  per_label(authors_chain, &LabelIngredients::authors_chain);
  per_label(authors_weighted_chain, &LabelIngredients::authors_weighted_chain);
  per_label(noisy_last_gradient, &LabelIngredients::noisy_last_gradient);
  per_label(scaled_last_gradient, &LabelIngredients::scaled_last_gradient);
  per_label(path_pixel_gradient, &LabelIngredients::path_pixel_gradient);
  per_label(noisy_pixel_gradient, &LabelIngredients::noisy_pixel_gradient);
  per_label(pixel_gradient, &LabelIngredients::pixel_gradient);
  return in;
}

}  // namespace vitsnna::explain
