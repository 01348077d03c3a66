// What an explanation will take, and how much of it to compute at a time, found by running its
// passes on a planning arena. Private to explain/.
#pragma once

#include <optional>

#include "explain/passes.h"

namespace vitsnna::explain {

struct PlannedExplanation {
  Batching batching;
  ExplainPlan plan;
};

/// Cost of the passes for `labels` of the shape's labels.
ExplainPlan plan_passes(const model::Vit& vit, engine::Queue& queue, const ExplainRequest& request,
                        const ExplanationShape& shape, const Batching& batching, index_t labels);

/// Within the memory limit, or, without one, as many samples at a time as cost no more memory than
/// the clean image's own passes. Throws Error when the limit is below what one sample takes, naming
/// the least that works.
Batching choose_batching(const model::Vit& vit, engine::Queue& queue, const ExplainRequest& request,
                         const ExplanationShape& shape);

/// Remembers the last shape's plan: pictures of a folder mostly share theirs.
class Planner {
 public:
  const PlannedExplanation& plan(const model::Vit& vit, engine::Queue& queue,
                                 const ExplainRequest& request, const ExplanationShape& shape);

 private:
  std::optional<ExplanationShape> shape_;
  PlannedExplanation planned_;
};

}  // namespace vitsnna::explain
