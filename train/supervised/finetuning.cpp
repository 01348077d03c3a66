// Prepares the model for the set's labels, and keeps count.
#include "train/supervised/finetuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "model/initial_values.h"
#include "train/data/model_input.h"
#include "train/supervised/head_learner.h"
#include "train/supervised/model_learner.h"

namespace vitsnna::train {
namespace {

constexpr const char* kLossSum = "epoch_loss_sum";

/// Linear evaluation's: normal .01, no biases.
void draw_head(model::Checkpoint& model, std::uint64_t seed) {
  const index_t width = model.config.head_blocks * model.config.embed_dim;
  std::vector<float> weight(static_cast<std::size_t>(model.config.num_classes * width));
  // 2^17: past the tensors of a backbone and of DINO's head.
  model::fill_normal(weight, .01f, seed, 1u << 17);
  model.tensors["head.weight"] =
      engine::HostTensor::from_floats({model.config.num_classes, width}, weight);
  model.tensors["head.bias"] = engine::HostTensor::from_floats(
      {model.config.num_classes},
      std::vector<float>(static_cast<std::size_t>(model.config.num_classes), 0.f));
}

/// Whether the model has a head for the set's labels.
bool has_own_head(const model::Checkpoint& model, const Dataset& set) {
  return model.config.num_classes == set.label_count() &&
         model.metadata.activation == model::Activation::sigmoid &&
         model.metadata.labels == set.label_names;
}

/// The model with a head for the set's labels; whether that head is new.
bool give_head(model::Checkpoint& model, const FinetuneOptions& options, const Dataset& train) {
  const bool fits = has_own_head(model, train) && model.config.head_blocks == options.head_blocks;
  model.config.num_classes = train.label_count();
  model.config.head_blocks = options.head_blocks;
  model.metadata.labels = train.label_names;
  model.metadata.activation = model::Activation::sigmoid;
  model.metadata.thresholds.clear();
  model.metadata.input_size = {options.size.height, options.size.width};
  model.metadata.crop_pct.reset();
  if (!fits) draw_head(model, options.seed);
  return !fits;
}

void check_sets(const FinetuneOptions& options, const model::Checkpoint& model,
                const Dataset& train, const Dataset& validation) {
  if (train.label_count() < 1) throw Error(train.path + ": has no labels, they are wanted here");
  if (validation.label_names != train.label_names) {
    throw Error(fmt::format("{}: labels {}, those of {} ({}) wanted", validation.path,
                            fmt::join(validation.label_names, ", "), train.path,
                            fmt::join(train.label_names, ", ")));
  }
  require_both_values(validation);
  if (options.head_blocks < 1 || options.head_blocks > model.config.depth) {
    throw Error(fmt::format("--blocks: {} of a model of {} blocks, 1 to {} wanted",
                            options.head_blocks, model.config.depth, model.config.depth));
  }
  require_picture_channels(model.path, model.config);
  require_whole_patches("--size", options.size, model.config);
  if (train.size() < options.batch) {
    throw Error(fmt::format("--batch: {} images of a set of {}, at most all of them wanted",
                            options.batch, train.size()));
  }
  if (options.standardise && options.whole_model) {
    throw Error("--standardise: features change when the whole model learns, one of them wanted");
  }
  if (options.warmup_epochs > options.epochs) {
    throw Error(fmt::format("--warmup-epochs: {} of {} epochs, at most all of them wanted",
                            options.warmup_epochs, options.epochs));
  }
}

std::unique_ptr<SupervisedLearner> head_learner(engine::Queue& queue, Communicator& communicator,
                                                const FinetuneOptions& options,
                                                const model::Checkpoint& model,
                                                const Dataset& train, const Dataset& validation,
                                                const ImageReader& reader) {
  const FeatureOptions how = feature_options(options);
  const model::Vit vit(queue, model.config, model.metadata, model.tensors, options.precision,
                       {.backward = false});
  ImageFeatures learnt_from = cls_features(queue, communicator, vit, train, reader, how);
  ImageFeatures validated_on = cls_features(queue, communicator, vit, validation, reader, how);
  return std::make_unique<HeadLearner>(queue, model.tensors, std::move(learnt_from),
                                       std::move(validated_on), options);
}

/// The head of the paper reads the last four blocks. SPEC section 1.
constexpr index_t kPaperBlocks = 4;

double softplus(double x) { return std::max(x, 0.) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace

index_t default_head_blocks(const model::Checkpoint& model, const Dataset& set) {
  return has_own_head(model, set) ? model.config.head_blocks
                                  : std::min(kPaperBlocks, model.config.depth);
}

Validation validation_of(index_t labels, const SupervisedLearner::Answers& answers) {
  Validation result;
  result.items = answers.items;
  result.labels = labels;
  result.targets = answers.targets;
  for (std::size_t k = 0; k < answers.logits.size(); ++k) {
    const auto logit = static_cast<double>(answers.logits[k]);
    const auto target = static_cast<double>(answers.targets[k]);
    result.probabilities.push_back(static_cast<float>(1. / (1. + std::exp(-logit))));
    result.loss += target * softplus(-logit) + (1. - target) * softplus(logit);
  }
  result.loss /= static_cast<double>(std::max<std::size_t>(answers.logits.size(), 1));
  return result;
}

Finetuning::Finetuning(engine::Queue& queue, Communicator& communicator,
                       const FinetuneOptions& options, const model::Checkpoint& model,
                       const Dataset& train, const Dataset& validation, const ImageReader& reader)
    : queue_(queue), options_(options), model_(model) {
  check_sets(options, model, train, validation);
  new_head_ = give_head(model_, options, train);
  if (options.whole_model) {
    learner_ = std::make_unique<ModelLearner>(queue, communicator, model_.config, model_.metadata,
                                              model_.tensors, train, validation, reader, options);
  } else {
    learner_ = head_learner(queue, communicator, options, model_, train, validation, reader);
  }
  learning_rate_.base = options.learning_rate * static_cast<double>(options.batch) / 256.;
  learning_rate_.final = options.final_learning_rate;
  learning_rate_.steps = options.epochs * learner_->steps_per_epoch();
  learning_rate_.warmup_steps = options.warmup_epochs * learner_->steps_per_epoch();
}

SupervisedStep Finetuning::schedule() const {
  return {learning_rate_.at(done_), options_.weight_decay};
}

SupervisedReport Finetuning::step() {
  if (epoch_ends()) loss_sum_ = 0;
  const SupervisedReport report = learner_->step(schedule());
  if (report.finite) {
    ++done_;
    loss_sum_ += report.loss;
  }
  return report;
}

double Finetuning::epoch_loss() const {
  const index_t steps = (done_ + steps_per_epoch() - 1) % steps_per_epoch() + 1;
  return loss_sum_ / static_cast<double>(steps);
}

Validation Finetuning::validate() {
  return validation_of(model_.config.num_classes, learner_->validate());
}

RunState Finetuning::state() const {
  RunState state;
  state.steps = done_;
  state.metadata[kLossSum] = fmt::format("{}", loss_sum_);
  collect(queue_, learner_->state(), state.tensors);
  return state;
}

void Finetuning::restore(const RunState& state, const std::string& where) {
  if (state.steps > steps()) {
    throw Error(fmt::format("{}: {} steps done, at most {} wanted", where, state.steps, steps()));
  }
  const double loss_sum = number_in(state, kLossSum, where);
  train::restore(queue_, learner_->state(), state.tensors, where);
  learner_->refresh();
  learner_->seek(state.steps);
  loss_sum_ = loss_sum;
  done_ = state.steps;
}

model::Checkpoint Finetuning::model(const std::vector<float>& thresholds) const {
  model::Checkpoint result = model_;
  for (auto& [name, tensor] : learner_->learnt()) result.tensors.insert_or_assign(name, tensor);
  result.metadata.thresholds = thresholds;
  return result;
}

}  // namespace vitsnna::train
