// What the passes leave on the device, in one place from the start, and its way to the host once
// all is done. Private to explain/.
#pragma once

#include "explain/pass_inputs.h"

namespace vitsnna::explain {

/// Tensors of Ingredients; those that nobody needs stay empty. `labels` is the shape's.
struct DeviceIngredients {
  Tensor logits;                                     ///< (1, classes)
  Tensor baseline_logits;                            ///< (1, classes)
  Tensor attention_rows;                             ///< (blocks kept, heads, tokens)
  Tensor transformed_attention;                      ///< (tokens)
  Tensor rollout;                                    ///< (1, tokens), not normalised yet
  Tensor gradient_rows;                              ///< (blocks kept, labels, heads, tokens)
  Tensor paper_chain, paper_weighted_chain;          ///< (labels, tokens)
  Tensor authors_chain, authors_weighted_chain;      ///< (labels, tokens)
  Tensor noisy_last_gradient, scaled_last_gradient;  ///< (labels, heads, tokens)
  Tensor path_pixel_gradient, noisy_pixel_gradient, pixel_gradient;  ///< (labels, pixels)

  void allocate(engine::Arena& arena, const model::VitConfig& config,
                const ExplanationShape& shape);

  std::vector<float> download_logits(engine::Queue& queue) const;
  /// Everything, of the first `labels` labels; `depth` is the model's.
  Ingredients download(engine::Queue& queue, index_t depth, std::size_t labels) const;
};

/// Blocks whose CLS rows are kept: all, or the last.
index_t kept_blocks(const Needs& needs, const model::VitConfig& config);

}  // namespace vitsnna::explain
