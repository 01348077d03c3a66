// Dry runs of the passes, and a search over them.
#include "explain/planning.h"

#include <algorithm>
#include <string>

#include "kernels/error.h"

namespace vitsnna::explain {

namespace {

/// Labels whose backward is shared: more save little and cost memory.
constexpr index_t kLabelGroup = 4;

/// The largest value in [1, most] for which `fits` holds; it holds for smaller ones too. 0: none.
template <class Fits>
index_t largest(index_t most, const Fits& fits) {
  if (!fits(1)) return 0;
  index_t good = 1;
  index_t bad = most + 1;
  while (bad - good > 1) {
    const index_t middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

}  // namespace

ExplainPlan plan_passes(const model::Vit& vit, engine::Queue& queue, const ExplainRequest& request,
                        const ExplanationShape& shape, const Batching& batching, index_t labels) {
  engine::CountingLedger ledger(engine::CountingLedger::Mode::plan);
  const engine::LedgerScope scope(queue, &ledger);
  engine::Arena arena = engine::Arena::planning();
  StageClock clock(ledger);
  Passes passes({vit, queue, arena}, request, shape, batching);
  passes.forward(clock);
  passes.explain(labels, clock);
  ExplainPlan plan;
  plan.flops = ledger.flops();
  plan.weight_bytes = vit.weight_bytes();
  plan.arena_bytes = arena.peak();
  plan.scratch_bytes = ledger.scratch_bytes();
  plan.samples_at_a_time = batching.samples;
  return plan;
}

Batching choose_batching(const model::Vit& vit, engine::Queue& queue, const ExplainRequest& request,
                         const ExplanationShape& shape) {
  const auto bytes = [&](const Batching& batching) {
    return plan_passes(vit, queue, request, shape, batching, shape.labels).device_bytes();
  };
  index_t variants = 1;
  if (shape.needs.noise()) variants = std::max(variants, shape.samples);
  if (shape.needs.scaled_last_gradient || shape.needs.path_pixel_gradient) {
    variants = std::max(variants, shape.integration_steps);
  }
  const index_t group = std::min(shape.labels, kLabelGroup);
  const index_t limit = shape.memory_limit > 0 ? shape.memory_limit : bytes({group, 1});
  Batching batching;
  batching.labels = largest(group, [&](index_t count) { return bytes({count, 1}) <= limit; });
  if (batching.labels == 0) {
    throw Error("memory limit: " + std::to_string(limit) + " bytes found, at least " +
                std::to_string(bytes({1, 1})) + " wanted for an image of " +
                std::to_string(shape.height) + "x" + std::to_string(shape.width));
  }
  batching.samples = largest(variants, [&](index_t count) {
    return bytes({batching.labels, count}) <= limit;
  });
  return batching;
}

const PlannedExplanation& Planner::plan(const model::Vit& vit, engine::Queue& queue,
                                        const ExplainRequest& request,
                                        const ExplanationShape& shape) {
  if (shape_ != shape) {
    shape_.reset();
    planned_.batching = choose_batching(vit, queue, request, shape);
    planned_.plan = plan_passes(vit, queue, request, shape, planned_.batching, shape.labels);
    shape_ = shape;
  }
  return planned_;
}

}  // namespace vitsnna::explain
