// Features lie on the host; a step takes its rows of them to the device.
#include "train/supervised/head_learner.h"

#include <algorithm>

#include "engine/ledger.h"

namespace vitsnna::train {
namespace {

using engine::Arena;
using engine::Tensor;
using kernels::DType;

constexpr index_t kValidationRows = 256;

model::ParameterTable table_of(index_t labels, index_t width) {
  model::ParameterTable table;
  table.add("head.weight", {labels, width});
  table.add("head.bias", {labels});
  return table;
}

Sampler sampler_of(index_t count, const FinetuneOptions& options) {
  Sampler sampler;
  sampler.count = count;
  sampler.batch = options.batch;
  sampler.seed = options.seed;
  check(sampler);
  return sampler;
}

kernels::Matrix rows(const Tensor& tensor) {
  return {tensor.data, tensor.dtype, tensor.shape.elements(), tensor.shape[1]};
}

}  // namespace

HeadLearner::HeadLearner(engine::Queue& queue, const Tensors& head, ImageFeatures train,
                         ImageFeatures validation, const FinetuneOptions& options)
    : queue_(queue),
      train_(std::move(train)),
      validation_(std::move(validation)),
      sampler_(sampler_of(train_.items, options)),
      alone_(single_process()),
      parameters_(queue, table_of(train_.labels, train_.width)),
      prepared_(queue.backend()),
      bce_(queue, *alone_, parameters_, default_rule, options, train_.labels),
      arena_(Arena::planning()) {
  StateEntries entries;
  add_block(entries, "", parameters_);
  if (options.standardise) {
    standardisation_.emplace(train_);
    standardisation_->apply(train_);
    standardisation_->apply(validation_);
  }
  restore(queue_, entries, standardisation_ ? standardisation_->to_standardised(head) : head,
          "the new head");
  prepared_.add(layer_, parameters_.at("head.weight"), parameters_.at("head.bias"), train_.labels,
                train_.width, DType::f32);
  prepared_.allocate();
  refresh();

  const index_t most = std::max(kValidationRows, options.batch);
  engine::CountingLedger ledger(engine::CountingLedger::Mode::plan);
  const auto ask = [&](index_t items) {
    const engine::ArenaScope scope(arena_);
    const Tensor features = arena_.allocate(DType::f32, {items, train_.width});
    const Tensor outputs = arena_.allocate(DType::f32, {items, train_.labels});
    arena_.allocate(DType::f32, {items, train_.labels});  // the gradient
    logits(features, outputs);
  };
  {
    const engine::LedgerScope scope(queue_, &ledger);
    ask(most);
    ask(options.batch);
  }
  queue_.reserve_scratch(ledger.scratch_bytes());
  arena_ = Arena(&queue_.backend(), arena_.peak());
}

void HeadLearner::logits(const Tensor& features, const Tensor& logits) const {
  kernels::Linear args;
  args.rows = features.shape[0];
  args.input = rows(features);
  args.weight = layer_.forward;
  args.bias = layer_.bias;
  args.output = rows(logits);
  queue_.backend().linear(queue_.raw(), args);
}

SupervisedReport HeadLearner::step(const SupervisedStep& settings) {
  const std::uint32_t epoch = sampler_.epoch_of(position_);
  if (order_.empty() || epoch != order_epoch_) {
    order_ = sampler_.order(epoch);
    order_epoch_ = epoch;
  }
  const index_t items = sampler_.batch, width = train_.width, labels = train_.labels;
  std::vector<float> rows_of_batch, targets;
  for (index_t slot = 0; slot < items; ++slot) {
    const index_t row = order_[static_cast<std::size_t>(sampler_.place(position_, slot))];
    const auto feature = train_.features.begin() + row * width;
    rows_of_batch.insert(rows_of_batch.end(), feature, feature + width);
    const auto target = train_.targets.begin() + row * labels;
    targets.insert(targets.end(), target, target + labels);
  }
  const engine::ArenaScope scope(arena_);
  const Tensor features = arena_.allocate(DType::f32, {items, width});
  const Tensor outputs = arena_.allocate(DType::f32, {items, labels});
  const Tensor gradient = arena_.allocate(DType::f32, {items, labels});
  queue_.upload(features.data, rows_of_batch.data(), features.bytes());
  bce_.begin(settings, targets);
  logits(features, outputs);
  bce_.loss(outputs.f32(), items, items, gradient.f32());
  kernels::LinearWeightGradient args;
  args.rows = items;
  args.out_features = labels;
  args.in_features = width;
  args.input = rows(features);
  args.output_gradient = rows(gradient);
  args.weight_gradient = bce_.optimizer().gradients().at("head.weight");
  args.bias_gradient = bce_.optimizer().gradients().at("head.bias");
  queue_.backend().linear_weight_gradient(queue_.raw(), args);
  bce_.measure();
  const SupervisedReport report = bce_.finish();
  if (report.finite) {
    refresh();
    ++position_;
  }
  return report;
}

SupervisedLearner::Answers HeadLearner::validate() {
  Answers answers{validation_.items, {}, validation_.targets};
  answers.logits.resize(static_cast<std::size_t>(validation_.items * train_.labels));
  for (index_t first = 0; first < validation_.items; first += kValidationRows) {
    const index_t items = std::min(kValidationRows, validation_.items - first);
    const engine::ArenaScope scope(arena_);
    const Tensor features = arena_.allocate(DType::f32, {items, train_.width});
    const Tensor outputs = arena_.allocate(DType::f32, {items, train_.labels});
    queue_.upload(features.data, validation_.features.data() + first * train_.width,
                  features.bytes());
    logits(features, outputs);
    queue_.download(answers.logits.data() + first * train_.labels, outputs.data, outputs.bytes());
    queue_.synchronize();
  }
  return answers;
}

Tensors HeadLearner::learnt() const {
  const Tensors head = download(queue_, parameters_);
  return standardisation_ ? standardisation_->from_standardised(head) : head;
}

StateEntries HeadLearner::state() const {
  StateEntries entries;
  add_block(entries, "", parameters_);
  add_optimizer(entries, "", bce_.optimizer());
  return entries;
}

}  // namespace vitsnna::train
