// The clean image's forward, backward and relevance chains. Private to explain/.
#pragma once

#include "explain/explain_context.h"
#include "explain/stage_clock.h"

namespace vitsnna::explain {

/// The recorded forward of the clean image; leaves `logits`.
model::ForwardPass clean_forward(const ExplainContext& context);

/// Everything that is the same for all labels: the CLS rows of attention, transformed attention,
/// rollout.
void shared_rows(const ExplainContext& context, const model::ForwardPass& forward);

/// Backward and chains of labels first .. first + count - 1.
void explain_labels(const ExplainContext& context, const model::ForwardPass& forward, index_t first,
                    index_t count, StageClock& clock);

}  // namespace vitsnna::explain
