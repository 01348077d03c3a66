// From a request to what the passes are told: checked, labels resolved, the baseline's pixels made.
// Private to explain/.
#pragma once

#include "explain/pass_inputs.h"

namespace vitsnna::explain {

/// Throws Error when the request does not fit the model or the image.
void check_request(const model::Vit& vit, const ImageView& image, const ExplainRequest& request);

/// The shape of explaining this image.
ExplanationShape shape_of(const model::Vit& vit, const ImageView& image,
                          const ExplainRequest& request);

/// Pixels of the path's start, or none: zeros.
std::vector<float> baseline_of(const model::VitConfig& config, const ImageView& image,
                               const ExplainRequest& request);

/// The labels that a selection means; `logits` are read for `predicted` alone.
std::vector<index_t> resolve_labels(const model::Vit& vit, const LabelSelection& selection,
                                    std::span<const float> logits);

}  // namespace vitsnna::explain
