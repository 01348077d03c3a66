// Decides what runs and how much at a time, runs it, and combines the maps. The same code path
// plans (on a planning arena, under a planning ledger) and computes.
#include "explain/explainer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "engine/ledger.h"
#include "explain/averaged_pass.h"
#include "explain/clean_pass.h"
#include "explain/method_maps.h"
#include "explain/stage_clock.h"
#include "kernels/error.h"

namespace vitsnna::explain {

namespace {

using engine::CountingLedger;
using engine::DType;

/// Labels whose backward is shared: more save little and cost memory.
constexpr index_t kLabelGroup = 4;

/// How much is computed at a time.
struct Batching {
  index_t labels = 1;   ///< of the clean backward
  index_t samples = 1;  ///< noisy copies, and points of a path
};

/// One call's inputs and outputs on the host.
struct Job {
  const ExplainRequest& request;
  Needs needs;
  ImageView image;
  std::vector<float> baseline;  ///< empty: zeros
  Batching batching;
};

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

std::vector<float> scaled_alphas(index_t steps) {  // alpha = linspace(0, 1, steps)
  std::vector<float> alphas;
  for (index_t step = 0; step < steps; ++step) {
    alphas.push_back(
        steps > 1 ? static_cast<float>(static_cast<double>(step) / static_cast<double>(steps - 1))
                  : 0.f);
  }
  return alphas;
}

std::vector<float> midpoint_alphas(index_t steps) {  // alpha = (step + .5) / steps
  std::vector<float> alphas;
  for (index_t step = 0; step < steps; ++step) {
    alphas.push_back(
        static_cast<float>((static_cast<double>(step) + .5) / static_cast<double>(steps)));
  }
  return alphas;
}

template <class Member>
void hand_out(std::vector<std::vector<float>>& values, std::vector<LabelIngredients>& labels,
              Member member) {
  for (std::size_t label = 0; label < values.size(); ++label) {
    labels[label].*member = std::move(values[label]);
  }
}

/// Runs (or plans) every pass of a job. `resolve` turns the clean logits into labels.
template <class Resolve>
Ingredients run_passes(const model::PassContext& pass, const Job& job, StageClock& clock,
                       const Resolve& resolve, std::vector<index_t>& labels) {
  const model::VitConfig& config = pass.vit.config();
  ExplainContext context{pass, job.request,      job.needs,       {}, {},
                         {},   job.image.height, job.image.width, 0.f};
  Ingredients ingredients;
  clock.enter("forward");
  const engine::Shape picture{config.channels, job.image.height, job.image.width};
  context.image = pass.arena.allocate(DType::f32, picture);
  pass.queue.upload(context.image.data, job.image.pixels, context.image.bytes());
  if (!job.baseline.empty()) {
    context.baseline = pass.arena.allocate(DType::f32, picture);
    pass.queue.upload(context.baseline.data, job.baseline.data(), context.baseline.bytes());
  }
  pass.queue.synchronize();
  if (job.image.pixels) {
    const auto [lowest, highest] =
        std::minmax_element(job.image.pixels, job.image.pixels + context.pixels());
    context.sigma = static_cast<float>(
        job.request.noise_level * (static_cast<double>(*highest) - static_cast<double>(*lowest)));
  } else {
    context.sigma = 1.f;  // planning
  }
  context.grid = model::embed_grid(pass, job.image.height, job.image.width);
  {
    const engine::ArenaScope scope(pass.arena);
    const model::ForwardPass forward = clean_forward(context, ingredients);
    labels = resolve(ingredients.logits);
    ingredients.labels.resize(labels.size());
    clock.enter("relevance");
    shared_rows(context, forward, ingredients);
    const auto group = static_cast<std::size_t>(job.batching.labels);
    for (std::size_t first = 0; first < labels.size(); first += group) {
      const std::size_t count = std::min(group, labels.size() - first);
      explain_labels(context, forward, std::span(labels).subspan(first, count), first, clock,
                     ingredients);
    }
  }
  const Needs& needs = job.needs;
  if (needs.noise()) {
    clock.enter("noise");
    Variants noisy;
    noisy.count = job.request.samples;
    noisy.noisy = true;
    AveragedResult result = averaged_gradients(
        context, labels, noisy, {needs.noisy_last_gradient, needs.noisy_pixel_gradient},
        job.batching.samples);
    hand_out(result.last_attention, ingredients.labels, &LabelIngredients::noisy_last_gradient);
    hand_out(result.pixels, ingredients.labels, &LabelIngredients::noisy_pixel_gradient);
  }
  if (needs.scaled_last_gradient) {
    clock.enter("integrated_gradients");
    Variants scaled;
    scaled.count = job.request.integration_steps;
    scaled.alphas = scaled_alphas(scaled.count);
    AveragedResult result =
        averaged_gradients(context, labels, scaled, {true, false}, job.batching.samples);
    hand_out(result.last_attention, ingredients.labels, &LabelIngredients::scaled_last_gradient);
  }
  if (needs.path_pixel_gradient) {
    clock.enter("integrated_gradients");
    Variants path;
    path.count = job.request.integration_steps;
    path.alphas = midpoint_alphas(path.count);
    path.from_baseline = true;
    AveragedResult result =
        averaged_gradients(context, labels, path, {false, true}, job.batching.samples);
    hand_out(result.pixels, ingredients.labels, &LabelIngredients::path_pixel_gradient);
    ingredients.baseline_logits = baseline_logits(context);
  }
  clock.leave();
  return ingredients;
}

/// Cost of a job when every pass runs for `labels` labels.
ExplainPlan plan_job(const model::Vit& vit, engine::Queue& queue, Job job, index_t labels) {
  CountingLedger ledger(CountingLedger::Mode::plan);
  const engine::LedgerScope scope(queue, &ledger);
  engine::Arena arena = engine::Arena::planning();
  StageClock clock(ledger);
  job.image.pixels = nullptr;
  std::vector<index_t> resolved;
  run_passes(
      {vit, queue, arena}, job, clock,
      [&](const std::vector<float>&) {
        return std::vector<index_t>(static_cast<std::size_t>(labels), 0);
      },
      resolved);
  ExplainPlan plan;
  plan.flops = ledger.flops();
  plan.weight_bytes = vit.weight_bytes();
  plan.arena_bytes = arena.peak();
  plan.scratch_bytes = ledger.scratch_bytes();
  plan.samples_at_a_time = job.batching.samples;
  return plan;
}

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

/// Chooses the batching: within the memory limit, or, without one, as many samples at a time as
/// cost no more memory than the clean image's own passes.
Batching choose_batching(const model::Vit& vit, engine::Queue& queue, Job job, index_t labels) {
  const auto bytes = [&](const Batching& batching) {
    job.batching = batching;
    return plan_job(vit, queue, job, labels).device_bytes();
  };
  index_t variants = 1;
  if (job.needs.noise()) variants = std::max(variants, job.request.samples);
  if (job.needs.scaled_last_gradient || job.needs.path_pixel_gradient) {
    variants = std::max(variants, job.request.integration_steps);
  }
  const index_t group = std::min(labels, kLabelGroup);
  const index_t limit = job.request.memory_limit > 0 ? job.request.memory_limit : bytes({group, 1});
  Batching batching;
  batching.labels = largest(group, [&](index_t count) { return bytes({count, 1}) <= limit; });
  if (batching.labels == 0) {
    throw Error("memory limit: " + std::to_string(limit) + " bytes found, at least " +
                std::to_string(bytes({1, 1})) + " wanted for an image of " +
                std::to_string(job.image.height) + "x" + std::to_string(job.image.width));
  }
  batching.samples = largest(variants, [&](index_t count) {
    return bytes({batching.labels, count}) <= limit;
  });
  return batching;
}

void check(const model::Vit& vit, const ImageView& image, const ExplainRequest& request) {
  const model::VitConfig& config = vit.config();
  if (!config.has_head()) {
    throw Error("model: a backbone without a head has no logits to explain; give it one");
  }
  const auto at_least = [](const char* what, index_t value, index_t least) {
    if (value < least) {
      throw Error(std::string(what) + ": " + std::to_string(value) + " found, at least " +
                  std::to_string(least) + " wanted");
    }
  };
  at_least("methods", static_cast<index_t>(request.methods.size()), 1);
  at_least("samples", request.samples, 1);
  at_least("ig steps", request.integration_steps, 1);
  at_least("memory limit", request.memory_limit, 0);
  at_least("image height", image.height, config.patch_size);
  at_least("image width", image.width, config.patch_size);
  if (!(request.noise_level >= 0.)) {
    throw Error("noise level: " + std::to_string(request.noise_level) + " found, 0 or more wanted");
  }
  if (request.baseline == Baseline::custom && !request.baseline_image) {
    throw Error("baseline: a custom one was asked for, none was given");
  }
  if (request.labels.kind == LabelSelection::Kind::indices) {
    at_least("labels", static_cast<index_t>(request.labels.indices.size()), 1);
    for (const index_t label : request.labels.indices) {
      if (label < 0 || label >= config.num_classes) {
        throw Error("label " + std::to_string(label) + ": the model has labels 0 to " +
                    std::to_string(config.num_classes - 1));
      }
    }
  }
}

std::vector<float> baseline_of(const model::VitConfig& config, const ImageView& image,
                               const ExplainRequest& request) {
  const auto plane = static_cast<std::size_t>(image.height * image.width);
  const auto channels = static_cast<std::size_t>(config.channels);
  switch (request.baseline) {
    case Baseline::zero:
      return {};
    case Baseline::custom:
      return {request.baseline_image, request.baseline_image + channels * plane};
    case Baseline::mean:
      break;
  }
  std::vector<float> baseline(channels * plane, 0.f);
  if (!image.pixels) return baseline;
  for (std::size_t channel = 0; channel < channels; ++channel) {
    double sum = 0;
    for (std::size_t pixel = 0; pixel < plane; ++pixel) {
      sum += static_cast<double>(image.pixels[channel * plane + pixel]);
    }
    std::fill_n(baseline.begin() + static_cast<std::ptrdiff_t>(channel * plane), plane,
                static_cast<float>(sum / static_cast<double>(plane)));
  }
  return baseline;
}

/// How many labels a selection may turn into, before the logits are known.
index_t most_labels(const model::Vit& vit, const LabelSelection& selection) {
  switch (selection.kind) {
    case LabelSelection::Kind::indices:
      return static_cast<index_t>(selection.indices.size());
    case LabelSelection::Kind::all:
      return vit.config().num_classes;
    case LabelSelection::Kind::predicted:
      break;
  }
  return vit.metadata().activation == model::Activation::softmax ? 1 : vit.config().num_classes;
}

std::vector<index_t> resolve_labels(const model::Vit& vit, const LabelSelection& selection,
                                    const std::vector<float>& logits) {
  switch (selection.kind) {
    case LabelSelection::Kind::indices:
      return selection.indices;
    case LabelSelection::Kind::predicted:
      return predicted_labels(logits, vit.metadata());
    case LabelSelection::Kind::all:
      break;
  }
  std::vector<index_t> labels(logits.size());
  for (std::size_t label = 0; label < labels.size(); ++label) {
    labels[label] = static_cast<index_t>(label);
  }
  return labels;
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

/// The arena kept from call to call: after the first image of a size nothing is allocated.
struct Explainer::Workspace {
  std::optional<engine::Arena> arena;

  engine::Arena& at_least(engine::Queue& queue, index_t bytes) {
    if (!arena || arena->capacity() < bytes) {
      arena.reset();  // give the old block back before asking for the new one
      arena.emplace(&queue.backend(), bytes);
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
    : vit_(vit), queue_(queue), workspace_(std::make_unique<Workspace>()) {}

Explainer::~Explainer() = default;

Explanation Explainer::explain(const ImageView& image, const ExplainRequest& request,
                               const Progress& progress) {
  check(vit_, image, request);
  Job job{request,
          needs_of(request.methods, request.formulation),
          image,
          baseline_of(vit_.config(), image, request),
          {}};
  const index_t most = most_labels(vit_, request.labels);
  job.batching = choose_batching(vit_, queue_, job, most);
  const ExplainPlan plan = plan_job(vit_, queue_, job, most);
  queue_.reserve_scratch(plan.scratch_bytes);
  engine::Arena& arena = workspace_->at_least(queue_, plan.arena_bytes);

  ProgressLedger ledger(plan.flops, progress);
  Explanation explanation;
  StageClock clock(ledger);
  Ingredients ingredients;
  {
    const engine::LedgerScope scope(queue_, &ledger);
    ingredients = run_passes(
        {vit_, queue_, arena}, job, clock,
        [&](const std::vector<float>& logits) {
          return resolve_labels(vit_, request.labels, logits);
        },
        explanation.labels);
  }
  explanation.grid_height = image.height / vit_.config().patch_size;
  explanation.grid_width = image.width / vit_.config().patch_size;
  explanation.probabilities = probabilities(ingredients.logits, vit_.metadata().activation);
  explanation.methods = request.methods;
  const PixelPath path{image.pixels,
                       job.baseline.empty() ? nullptr : job.baseline.data(),
                       vit_.config().channels,
                       image.height,
                       image.width,
                       vit_.config().patch_size};
  for (std::size_t label = 0; label < explanation.labels.size(); ++label) {
    for (const Method method : request.methods) {
      explanation.maps.push_back(method_map(method, request.formulation, ingredients, label, path));
    }
    if (job.needs.path_pixel_gradient) {
      const auto index = static_cast<std::size_t>(explanation.labels[label]);
      explanation.completeness.push_back(
          {attributed(ingredients, label, path),
           static_cast<double>(ingredients.logits[index]) -
               static_cast<double>(ingredients.baseline_logits[index])});
    }
  }
  explanation.logits = std::move(ingredients.logits);
  explanation.stages = clock.stages();
  explanation.ops = ledger.ops();
  explanation.samples_at_a_time = job.batching.samples;
  explanation.device_bytes = plan.weight_bytes + arena.peak() + queue_.scratch_bytes();
  return explanation;
}

ExplainPlan Explainer::plan(index_t height, index_t width, const ExplainRequest& request) const {
  const ImageView image{nullptr, height, width};
  check(vit_, image, request);
  Job job{request,
          needs_of(request.methods, request.formulation),
          image,
          baseline_of(vit_.config(), image, request),
          {}};
  const bool unknown = request.labels.kind == LabelSelection::Kind::predicted;
  const index_t most = most_labels(vit_, request.labels);
  job.batching = choose_batching(vit_, queue_, job, most);
  return plan_job(vit_, queue_, job, unknown ? std::min<index_t>(most, 2) : most);
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
    const Tensor rows = arena.allocate(DType::f32, {1, config.num_heads, forward.grid.tokens()});
    model::cls_attention(pass, forward, block, rows);
    return download(queue_, rows);
  });
}

}  // namespace vitsnna::explain
