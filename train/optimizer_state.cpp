// Allocation of an optimiser's state, and its launches.
#include "train/optimizer_state.h"

#include <vector>

namespace vitsnna::train {

TensorRule default_rule(const model::ParameterTable::Entry& entry) {
  TensorRule rule;
  rule.decays = entry.shape.size() > 1 && !entry.name.ends_with(".bias");
  return rule;
}

OptimizerState::OptimizerState(engine::Queue& queue, const model::ParameterTable& table,
                               const TensorRules& rules)
    : backend_(&queue.backend()),
      gradients_(queue, table),
      first_moment_(queue, table),
      second_moment_(queue, table) {
  std::vector<kernels::ParameterSegment> host;
  for (const model::ParameterTable::Entry& entry : table.entries()) {
    const TensorRule rule = rules(entry);
    kernels::ParameterSegment segment;
    segment.offset = entry.offset;
    segment.count = entry.elements;
    segment.learning_rate_scale = rule.learning_rate_scale;
    segment.weight_decay_scale = rule.decays ? 1.f : 0.f;
    segment.freezable = rule.freezable ? 1.f : 0.f;
    segment.always_frozen = rule.always_frozen ? 1.f : 0.f;
    host.push_back(segment);
  }
  const auto bytes = static_cast<index_t>(host.size() * sizeof(kernels::ParameterSegment));
  table_ = static_cast<kernels::ParameterSegment*>(backend_->allocate(bytes));
  queue.upload(table_, host.data(), bytes);
  norms_ = static_cast<float*>(backend_->allocate(2 * segments() * 4));
  queue.zero(norms_, 2 * segments() * 4);
  queue.synchronize();
}

OptimizerState::~OptimizerState() {
  if (table_) {
    backend_->deallocate(table_,
                         segments() * static_cast<index_t>(sizeof(kernels::ParameterSegment)));
  }
  if (norms_) backend_->deallocate(norms_, 2 * segments() * 4);
}

kernels::ParameterBlock OptimizerState::block() const {
  return {segments(), gradients_.table().block_elements(), table_};
}

void OptimizerState::clear_gradients(engine::Queue& queue) const {
  queue.zero(gradients_.data(), gradients_.bytes());
}

void OptimizerState::measure(engine::Queue& queue, const kernels::StepSettings* settings,
                             float* non_finite) const {
  kernels::GradientNorms measure;
  measure.block = block();
  measure.gradients = gradients_.data();
  measure.settings = settings;
  measure.norms = norms();
  measure.steps = moves();
  measure.non_finite = non_finite;
  queue.backend().gradient_norms(queue.raw(), measure);
}

void OptimizerState::adamw(engine::Queue& queue, const model::Parameters& parameters,
                           const kernels::StepSettings* settings, float clip) const {
  kernels::AdamW step;
  step.block = block();
  step.settings = settings;
  step.norms = norms();
  step.steps = moves();
  step.gradients = gradients_.data();
  step.parameters = parameters.data();
  step.first_moment = first_moment_.data();
  step.second_moment = second_moment_.data();
  step.clip = clip;
  queue.backend().adamw(queue.raw(), step);
}

void OptimizerState::sgd(engine::Queue& queue, const model::Parameters& parameters,
                         const kernels::StepSettings* settings, float clip, float momentum) const {
  kernels::Sgd step;
  step.block = block();
  step.settings = settings;
  step.norms = norms();
  step.gradients = gradients_.data();
  step.parameters = parameters.data();
  step.velocity = first_moment_.data();
  step.clip = clip;
  step.momentum = momentum;
  queue.backend().sgd(queue.raw(), step);
}

}  // namespace vitsnna::train
