// A block of parameters being trained: its gradients, the optimiser's moments, and the table that
// tells the optimiser which tensors decay and which stand still.
#pragma once

#include <functional>
#include <string_view>

#include "model/parameters.h"

namespace vitsnna::train {

using kernels::index_t;

/// What sets one tensor apart, decided by its name and shape.
struct TensorRule {
  bool decays = true;
  bool freezable = false;
  bool always_frozen = false;
  float learning_rate_scale = 1.f;
};
using TensorRules = std::function<TensorRule(const model::ParameterTable::Entry&)>;

/// No decay on biases and tensors of one dimension (SPEC section 4); nothing frozen.
TensorRule default_rule(const model::ParameterTable::Entry& entry);

class OptimizerState {
 public:
  OptimizerState(engine::Queue& queue, const model::ParameterTable& table,
                 const TensorRules& rules);
  ~OptimizerState();
  OptimizerState(const OptimizerState&) = delete;
  OptimizerState& operator=(const OptimizerState&) = delete;

  const model::Parameters& gradients() const { return gradients_; }
  const model::Parameters& first_moment() const { return first_moment_; }
  const model::Parameters& second_moment() const { return second_moment_; }
  /// (segments) each: L2 norms of the last gradients, and how often each tensor has moved.
  float* norms() const { return norms_; }
  float* moves() const { return norms_ + segments(); }
  index_t segments() const { return static_cast<index_t>(gradients_.table().entries().size()); }
  kernels::ParameterBlock block() const;

  void clear_gradients(engine::Queue& queue) const;

  /// Norms of the gradients; counts a move of every tensor that is not frozen. `settings` and
  /// `non_finite` are device memory.
  void measure(engine::Queue& queue, const kernels::StepSettings* settings,
               float* non_finite) const;

  /// After measure(): AdamW on `parameters`, which has the same table.
  void adamw(engine::Queue& queue, const model::Parameters& parameters,
             const kernels::StepSettings* settings, float clip) const;
  /// The same by descent with momentum; the velocity is the first moment.
  void sgd(engine::Queue& queue, const model::Parameters& parameters,
           const kernels::StepSettings* settings, float clip, float momentum) const;

 private:
  const kernels::Backend* backend_;
  model::Parameters gradients_, first_moment_, second_moment_;
  kernels::ParameterSegment* table_ = nullptr;
  float* norms_ = nullptr;
};

}  // namespace vitsnna::train
