// Plans an explanation, runs its passes and combines the maps.
#include "explain/explainer.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "engine/profiler_range.h"
#include "explain/captured_passes.h"
#include "explain/method_maps.h"
#include "explain/planning.h"
#include "explain/request.h"
#include "kernels/error.h"

namespace vitsnna::explain {

namespace {

using engine::CountingLedger;
using engine::DType;

/// Reports progress as the share of the planned operations.
class ProgressLedger : public CountingLedger {
 public:
  ProgressLedger(double planned, const Progress& progress)
      : CountingLedger(Mode::measure), planned_(planned), progress_(progress) {}
  void end() override {
    CountingLedger::end();
    if (progress_ && planned_ > 0) progress_(std::min(1., flops() / planned_));
  }

 private:
  double planned_;
  const Progress& progress_;
};

/// Maps of every label and method, and the completeness of integrated gradients.
void combine(const Ingredients& ingredients, const Needs& needs, const ExplainRequest& request,
             const PixelPath& path, Explanation& explanation) {
  for (std::size_t label = 0; label < explanation.labels.size(); ++label) {
    for (const Method method : request.methods) {
      explanation.maps.push_back(method_map(method, request.formulation, ingredients, label, path));
    }
    if (needs.path_pixel_gradient) {
      const auto index = static_cast<std::size_t>(explanation.labels[label]);
      explanation.completeness.push_back(
          {attributed(ingredients, label, path),
           static_cast<double>(ingredients.logits[index]) -
               static_cast<double>(ingredients.baseline_logits[index])});
    }
  }
}

model::ForwardPass plain_forward(const model::PassContext& pass, const ImageView& image,
                                 bool record) {
  const Tensor pixels =
      pass.arena.allocate(DType::f32, {pass.vit.config().channels, image.height, image.width});
  pass.queue.upload(pixels.data, image.pixels, pixels.bytes());
  pass.queue.synchronize();
  model::ForwardInput input;
  input.images.height = image.height;
  input.images.width = image.width;
  input.images.image = pixels.f32();
  const model::GridEmbedding grid = model::embed_grid(pass, image.height, image.width);
  return model::forward(pass, grid, input, 1, {record, false});
}

}  // namespace

/// Kept from call to call: after the first image of a size nothing is planned or allocated.
struct Explainer::Workspace {
  std::optional<engine::Arena> arena;
  Planner planner;
  CapturedPasses captured;

  index_t arena_bytes() const { return arena ? arena->capacity() : 0; }

  /// Gives the arena's memory back, and what was captured on it.
  void release() {
    captured.clear();
    arena.reset();
  }

  engine::Arena& at_least(engine::Queue& queue, index_t bytes) {
    if (!arena || arena->capacity() < bytes) {
      arena.reset();  // give the old block back before asking for the new one
      arena.emplace(&queue.backend(), bytes);
      captured.clear();
    }
    arena->release(0);
    return *arena;
  }

  /// Plans `run`, provides what it wants, runs it.
  template <class Run>
  std::vector<float> planned(engine::Queue& queue, const Run& run) {
    CountingLedger ledger(CountingLedger::Mode::plan);
    engine::Arena planning = engine::Arena::planning();
    {
      const engine::LedgerScope scope(queue, &ledger);
      run(planning);
    }
    queue.reserve_scratch(ledger.scratch_bytes());
    return run(at_least(queue, planning.peak()));
  }
};

Explainer::Explainer(const model::Vit& vit, engine::Queue& queue)
    : vit_(vit), queue_(queue), workspace_(std::make_unique<Workspace>()) {
  queue.require(vit.device(), "the model");
}

Explainer::~Explainer() = default;

/// Runs the passes, in one launch where they are known and the labels are: labels that depend on
/// the logits need those read in between.
void Explainer::run_passes(Passes& passes, const ExplanationShape& shape,
                           const PlannedExplanation& planned, const ExplainRequest& request,
                           const Progress& progress, Explanation& explanation) {
  ProgressLedger ledger(planned.plan.flops, progress);
  const engine::LedgerScope scope(queue_, &ledger);
  CapturedKey key{CapturedKey::Part::whole, shape,        planned.batching,    shape.labels,
                  request.noise_level,      request.seed, queue_.raw().scratch};
  const bool labels_known = request.labels.kind != LabelSelection::Kind::predicted;
  if (!labels_known) key.part = CapturedKey::Part::forward;
  const bool repeatable = !shape.given_noise;  // which is read from host memory
  const bool replayed = workspace_->captured.knows(key);
  StageClock clock(ledger, replayed ? nullptr : &queue_);
  const auto started = std::chrono::steady_clock::now();
  if (labels_known) {
    explanation.labels = resolve_labels(vit_, request.labels, {});
    passes.inputs().upload_labels(queue_, explanation.labels);
    const auto record = [&] {
      passes.forward(clock);
      passes.explain(shape.labels, clock);
    };
    workspace_->captured.run(queue_, key, record, repeatable);
  } else {
    const auto way = workspace_->captured.run(
        queue_, key, [&] { passes.forward(clock); }, repeatable);
    explanation.labels =
        resolve_labels(vit_, request.labels, passes.results().download_logits(queue_));
    passes.inputs().upload_labels(queue_, explanation.labels);
    key.part = CapturedKey::Part::after_forward;
    key.labels = static_cast<index_t>(explanation.labels.size());
    if (way == CapturedPasses::Way::replayed && !workspace_->captured.has_graph(key)) {
      // What follows wants to know where the forward left things: walk it without running it.
      CountingLedger walk(CountingLedger::Mode::plan);
      const engine::LedgerScope walking(queue_, &walk);
      StageClock unused(walk);
      passes.forward(unused);
    }
    workspace_->captured.run(
        queue_, key, [&] { passes.explain(key.labels, clock); }, repeatable);
  }
  queue_.synchronize();
  explanation.ops = ledger.ops();
  explanation.stages = clock.stages();
  if (replayed) {  // a graph is one stage
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    explanation.stages = {{"graph", {seconds.count(), planned.plan.flops}}};
    if (progress) progress(1.);
  }
}

/// Memory that was free when the batch was chosen may have been taken since, by another process:
/// then the batch is halved, which changes no number, until one sample at a time is too much.
Explanation Explainer::explain(const ImageView& image, const ExplainRequest& request,
                               const Progress& progress) {
  const engine::ProfilerRange range("explain");
  check_request(vit_, image, request);
  while (true) {
    try {
      return explain_once(image, request, progress);
    } catch (const OutOfMemory& error) {
      workspace_->release();
      if (!workspace_->planner.halve(vit_, queue_, request)) {
        throw OutOfMemory("an image of " + std::to_string(image.height) + "x" +
                          std::to_string(image.width) + ", one sample at a time: " + error.what());
      }
    }
  }
}

Explanation Explainer::explain_once(const ImageView& image, const ExplainRequest& request,
                                    const Progress& progress) {
  const model::VitConfig& config = vit_.config();
  const ExplanationShape shape = shape_of(vit_, image, request);
  const std::vector<float> baseline = baseline_of(config, image, request);
  const PlannedExplanation& planned =
      workspace_->planner.plan(vit_, queue_, request, shape, workspace_->arena_bytes());
  queue_.reserve_scratch(planned.plan.scratch_bytes);
  engine::Arena& arena = workspace_->at_least(queue_, planned.plan.arena_bytes);

  Passes passes({vit_, queue_, arena}, request, shape, planned.batching);
  passes.inputs().upload(queue_, image.pixels, baseline);
  Explanation explanation;
  run_passes(passes, shape, planned, request, progress, explanation);

  explanation.grid_height = image.height / config.patch_size;
  explanation.grid_width = image.width / config.patch_size;
  explanation.methods = request.methods;
  Ingredients ingredients =
      passes.results().download(queue_, config.depth, explanation.labels.size());
  combine(ingredients, shape.needs, request,
          {image.pixels, baseline.empty() ? nullptr : baseline.data(), config.channels,
           image.height, image.width, config.patch_size},
          explanation);
  explanation.probabilities = probabilities(ingredients.logits, vit_.metadata().activation);
  explanation.logits = std::move(ingredients.logits);
  explanation.samples_at_a_time = planned.batching.samples;
  explanation.device_bytes = planned.plan.weight_bytes + arena.peak() + queue_.scratch_bytes();
  return explanation;
}

ExplainPlan Explainer::plan(index_t height, index_t width, const ExplainRequest& request) const {
  const ImageView image{nullptr, height, width};
  check_request(vit_, image, request);
  const ExplanationShape shape = shape_of(vit_, image, request);
  const PlannedExplanation& planned =
      workspace_->planner.plan(vit_, queue_, request, shape, workspace_->arena_bytes());
  const bool unknown = request.labels.kind == LabelSelection::Kind::predicted;
  const index_t labels = unknown ? std::min<index_t>(shape.labels, 2) : shape.labels;
  if (labels == shape.labels) return planned.plan;
  return plan_passes(vit_, queue_, request, shape, planned.batching, labels);
}

ExplainPlan Explainer::plan_forward(index_t height, index_t width) const {
  CountingLedger ledger(CountingLedger::Mode::plan);
  const engine::LedgerScope scope(queue_, &ledger);
  engine::Arena arena = engine::Arena::planning();
  plain_forward({vit_, queue_, arena}, {nullptr, height, width}, false);
  ExplainPlan plan;
  plan.flops = ledger.flops();
  plan.weight_bytes = vit_.weight_bytes();
  plan.arena_bytes = arena.peak();
  plan.scratch_bytes = ledger.scratch_bytes();
  return plan;
}

std::vector<float> Explainer::predict(const ImageView& image) {
  if (!vit_.config().has_head()) {
    throw Error("model: a backbone without a head has no logits; give it one");
  }
  return workspace_->planned(queue_, [&](engine::Arena& arena) {
    const model::PassContext pass{vit_, queue_, arena};
    return download(queue_, plain_forward(pass, image, false).logits);
  });
}

std::vector<float> Explainer::cls_attention(const ImageView& image, index_t block) {
  const model::VitConfig& config = vit_.config();
  if (block < 0 || block >= config.depth) {
    throw Error("block " + std::to_string(block) + ": the model has blocks 0 to " +
                std::to_string(config.depth - 1));
  }
  return workspace_->planned(queue_, [&](engine::Arena& arena) {
    const model::PassContext pass{vit_, queue_, arena};
    const model::ForwardPass forward = plain_forward(pass, image, block + 1 < config.depth);
    const Tensor rows =
        arena.allocate(DType::f32, {1, config.num_heads, forward.grids.front().tokens()});
    model::cls_attention(pass, forward, block, rows);
    return download(queue_, rows);
  });
}

}  // namespace vitsnna::explain
