// Passes over many variants of the image (noisy copies, points of a path), averaged: the last
// block's attention gradient, the pixel gradient, or both from one forward. Private to explain/.
#pragma once

#include "explain/explain_context.h"

namespace vitsnna::explain {

/// The variants of one average: x_i = baseline + alpha_i (x - baseline) + noise_i.
struct Variants {
  index_t count = 0;
  bool noisy = false;
  Tensor alphas;               ///< (count), or none: 1
  bool from_baseline = false;  ///< the path starts at the request's baseline, not at zeros
};

/// Where the means go, overwritten; those that are not wanted are empty.
struct AveragedGradients {
  Tensor last_attention;  ///< G^L of the CLS query: (labels, heads, tokens)
  Tensor pixels;          ///< df/dx: (labels, pixels)
};

/// Means over the variants for the first `labels` labels. `at_a_time` variants share a batch; the
/// result does not depend on it.
void averaged_gradients(const ExplainContext& context, index_t labels, const Variants& variants,
                        const AveragedGradients& wanted, index_t at_a_time);

/// Leaves `baseline_logits`: f of the first point of the path, alpha = 0.
void baseline_logits(const ExplainContext& context);

}  // namespace vitsnna::explain
