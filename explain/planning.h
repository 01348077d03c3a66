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

/// Bytes that weights, arena and scratch together may take where the device says what is free:
/// that, less a sixteenth (pictures, kernels loaded at their first launch, graphs), and what this
/// explainer holds already. None where it does not say.
std::optional<index_t> available_bytes(const model::Vit& vit, const engine::Queue& queue,
                                       index_t arena_held);

/// Within the memory limit, or, without one, as many samples at a time as cost no more memory than
/// the clean image's own passes; never more than is `available`. Throws Error when that is less
/// than one sample takes, naming the least that works.
Batching choose_batching(const model::Vit& vit, engine::Queue& queue, const ExplainRequest& request,
                         const ExplanationShape& shape, std::optional<index_t> available);

/// Remembers the last shape's plan: pictures of a folder mostly share theirs.
class Planner {
 public:
  const PlannedExplanation& plan(const model::Vit& vit, engine::Queue& queue,
                                 const ExplainRequest& request, const ExplanationShape& shape,
                                 index_t arena_held);
  /// The last plan with half the samples at a time, or, at one, half the labels. False where both
  /// are one.
  bool halve(const model::Vit& vit, engine::Queue& queue, const ExplainRequest& request);

 private:
  std::optional<ExplanationShape> shape_;
  PlannedExplanation planned_;
};

}  // namespace vitsnna::explain
