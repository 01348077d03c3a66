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
                         const ExplanationShape& shape, std::optional<index_t> available) {
  const auto bytes = [&](const Batching& batching) {
    return plan_passes(vit, queue, request, shape, batching, shape.labels).device_bytes();
  };
  index_t variants = 1;
  if (shape.needs.noise()) variants = std::max(variants, shape.samples);
  if (shape.needs.scaled_last_gradient || shape.needs.path_pixel_gradient) {
    variants = std::max(variants, shape.integration_steps);
  }
  const index_t group = std::min(shape.labels, kLabelGroup);
  index_t limit = shape.memory_limit > 0 ? shape.memory_limit : bytes({group, 1});
  const bool short_of_memory = available && *available < limit;
  if (short_of_memory) limit = *available;
  Batching batching;
  batching.labels = largest(group, [&](index_t count) { return bytes({count, 1}) <= limit; });
  if (batching.labels == 0) {
    throw Error((short_of_memory ? "free memory of " + queue.device().name() : "memory limit") +
                ": " + std::to_string(limit) + " bytes found, at least " +
                std::to_string(bytes({1, 1})) + " wanted for an image of " +
                std::to_string(shape.height) + "x" + std::to_string(shape.width));
  }
  batching.samples = largest(variants, [&](index_t count) {
    return bytes({batching.labels, count}) <= limit;
  });
  return batching;
}

std::optional<index_t> available_bytes(const model::Vit& vit, const engine::Queue& queue,
                                       index_t arena_held) {
  const std::optional<index_t> free_now = queue.free_bytes();
  if (!free_now) return std::nullopt;
  return *free_now - *free_now / 16 + vit.weight_bytes() + arena_held + queue.scratch_bytes();
}

const PlannedExplanation& Planner::plan(const model::Vit& vit, engine::Queue& queue,
                                        const ExplainRequest& request,
                                        const ExplanationShape& shape, index_t arena_held) {
  if (shape_ != shape) {
    shape_.reset();
    planned_.batching =
        choose_batching(vit, queue, request, shape, available_bytes(vit, queue, arena_held));
    planned_.plan = plan_passes(vit, queue, request, shape, planned_.batching, shape.labels);
    shape_ = shape;
  }
  return planned_;
}

bool Planner::halve(const model::Vit& vit, engine::Queue& queue, const ExplainRequest& request) {
  Batching& batching = planned_.batching;
  if (!shape_ || (batching.samples == 1 && batching.labels == 1)) return false;
  index_t& count = batching.samples > 1 ? batching.samples : batching.labels;
  count /= 2;
  planned_.plan = plan_passes(vit, queue, request, *shape_, batching, shape_->labels);
  return true;
}

}  // namespace vitsnna::explain
