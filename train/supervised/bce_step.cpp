// Settings and sums lie in device memory: a step reads no number from the host.
#include "train/supervised/bce_step.h"

#include <cmath>

#include "kernels/error.h"

namespace vitsnna::train {

struct BceStep::Block {
  kernels::StepSettings settings;
  float loss;
  float non_finite;
};

BceStep::BceStep(engine::Queue& queue, Communicator& communicator,
                 const model::Parameters& parameters, const TensorRules& rules,
                 const FinetuneOptions& options, index_t classes)
    : queue_(queue),
      communicator_(communicator),
      parameters_(parameters),
      options_(options),
      classes_(classes),
      reducer_(communicator, queue),
      optimizer_(queue, parameters.table(), rules),
      memory_(queue.backend()),
      targets_(queue.backend()) {
  const auto weights = static_cast<index_t>(options_.positive_weights.size());
  if (weights != 0 && weights != classes) {
    throw Error("positive weights: " + std::to_string(weights) + " given, one a label (" +
                std::to_string(classes) + ") wanted");
  }
  memory_.reserve(static_cast<index_t>(sizeof(Block)) + 4 * classes);
  if (weights > 0) {
    queue_.upload(positive_weights(), options_.positive_weights.data(), 4 * weights);
    queue_.synchronize();
  }
}

BceStep::Block* BceStep::block() const { return reinterpret_cast<Block*>(memory_.data()); }

float* BceStep::positive_weights() const {
  return reinterpret_cast<float*>(memory_.data() + sizeof(Block));
}

void BceStep::begin(const SupervisedStep& step, std::span<const float> targets) {
  Block values{};
  values.settings.learning_rate = static_cast<float>(step.learning_rate);
  values.settings.weight_decay = static_cast<float>(step.weight_decay);
  const auto bytes = static_cast<index_t>(targets.size_bytes());
  targets_.reserve(bytes);
  queue_.upload(block(), &values, static_cast<index_t>(sizeof values));
  queue_.upload(targets_.data(), targets.data(), bytes);
  queue_.synchronize();
  optimizer_.clear_gradients(queue_);
}

void BceStep::loss(const float* logits, index_t items, index_t global_items, float* gradient) {
  kernels::BceWithLogits args;
  args.items = items;
  args.global_items = global_items;
  args.classes = classes_;
  args.logits = logits;
  args.targets = reinterpret_cast<const float*>(targets_.data());
  if (!options_.positive_weights.empty()) args.positive_weights = positive_weights();
  args.gradient = gradient;
  args.loss = &block()->loss;
  queue_.backend().bce_with_logits(queue_.raw(), args);
}

void BceStep::measure() {
  reducer_.finish();
  optimizer_.measure(queue_, &block()->settings, &block()->non_finite);
}

SupervisedReport BceStep::finish() {
  Block values{};
  std::vector<float> norms(static_cast<std::size_t>(optimizer_.segments()));
  queue_.download(&values, block(), static_cast<index_t>(sizeof values));
  queue_.download(norms.data(), optimizer_.norms(), optimizer_.segments() * 4);
  queue_.synchronize();
  const double own[1] = {static_cast<double>(values.loss)};
  SupervisedReport report;
  report.loss = sum_over_ranks(communicator_, own).front();
  for (const float norm : norms) report.gradient_norm = std::hypot(report.gradient_norm, norm);
  report.finite = values.non_finite == 0.f && std::isfinite(report.loss);
  if (!report.finite) return report;
  if (options_.optimizer == Optimizer::sgd) {
    optimizer_.sgd(queue_, parameters_, &block()->settings, options_.clip, options_.momentum);
  } else {
    optimizer_.adamw(queue_, parameters_, &block()->settings, options_.clip);
  }
  return report;
}

}  // namespace vitsnna::train
