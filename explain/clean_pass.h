// The clean image's forward, backward and relevance chains. Private to explain/.
#pragma once

#include "explain/explain_context.h"
#include "explain/stage_clock.h"

namespace vitsnna::explain {

/// The recorded forward of the clean image; fills `logits`.
model::ForwardPass clean_forward(const ExplainContext& context, Ingredients& ingredients);

/// Everything that is the same for all labels: the CLS rows of attention, transformed attention,
/// rollout.
void shared_rows(const ExplainContext& context, const model::ForwardPass& forward,
                 Ingredients& ingredients);

/// Backward and chains of a group of labels: fills ingredients.labels[first + ..].
void explain_labels(const ExplainContext& context, const model::ForwardPass& forward,
                    std::span<const index_t> labels, std::size_t first, StageClock& clock,
                    Ingredients& ingredients);

}  // namespace vitsnna::explain
