// Passes over many variants of the image (noisy copies, points of a path), averaged: the last
// block's attention gradient, the pixel gradient, or both from one forward. Private to explain/.
#pragma once

#include "explain/explain_context.h"

namespace vitsnna::explain {

/// The variants of one average: x_i = baseline + alpha_i (x - baseline) + noise_i.
struct Variants {
  index_t count = 0;
  bool noisy = false;
  std::vector<float> alphas;   ///< (count), or empty: 1
  bool from_baseline = false;  ///< the path starts at the request's baseline, not at zeros
};

struct AveragedGradients {
  bool last_attention = false;  ///< G^L of the CLS query: (labels, heads, tokens)
  bool pixels = false;          ///< df/dx: (labels, channels, height, width)
};

/// Means over the variants, per label, in host memory. `at_a_time` variants share a batch; the
/// result does not depend on it.
struct AveragedResult {
  std::vector<std::vector<float>> last_attention;
  std::vector<std::vector<float>> pixels;
};

AveragedResult averaged_gradients(const ExplainContext& context, std::span<const index_t> labels,
                                  const Variants& variants, const AveragedGradients& wanted,
                                  index_t at_a_time);

/// f(baseline): logits of the image at alpha = 0.
std::vector<float> baseline_logits(const ExplainContext& context);

}  // namespace vitsnna::explain
