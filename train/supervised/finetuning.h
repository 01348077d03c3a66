// The supervised stage over a labelled set, a step at a time: schedule, learner and validation.
// SPEC section 5.
//
//   Finetuning run(queue, communicator, options, model, train, validation, reader);
//   while (run.done() < run.steps()) {
//     SupervisedReport report = run.step();
//     if (run.epoch_ends()) { Validation validation = run.validate(); ... }
//   }
#pragma once

#include <memory>

#include "model/checkpoint.h"
#include "train/evaluation/metrics.h"
#include "train/parallel/communicator.h"
#include "train/run/checkpoint_store.h"
#include "train/schedules.h"
#include "train/supervised/learner.h"

namespace vitsnna::train {

/// Probabilities of a labelled set, and what they are worth.
struct Validation {
  index_t items = 0, labels = 0;
  std::vector<float> probabilities, targets;  ///< (items, labels)
  double loss = 0;                            ///< unweighted binary cross-entropy, the mean
  LabelledProbabilities given() const { return {items, labels, probabilities, targets}; }
};
Validation validation_of(index_t labels, const SupervisedLearner::Answers& answers);

/// Last blocks for the head to read where nobody says how many: as many as the model's own where
/// that has the set's labels, else the paper's four, or all of a smaller model.
index_t default_head_blocks(const model::Checkpoint& model, const Dataset& set);

class Finetuning {
 public:
  /// Starts from the model's backbone, and from its head where that has the set's labels and reads
  /// as many blocks; else from a new one: normal .01 and zero biases. With a frozen backbone the
  /// features of both sets are computed here, after all checks. What is passed by reference
  /// outlives the run. Throws Error naming the option or the set that does not fit, Stopped where
  /// FinetuneOptions::stop says so.
  Finetuning(engine::Queue& queue, Communicator& communicator, const FinetuneOptions& options,
             const model::Checkpoint& model, const Dataset& train, const Dataset& validation,
             const ImageReader& reader);

  index_t steps() const { return learning_rate_.steps; }
  index_t steps_per_epoch() const { return learner_->steps_per_epoch(); }
  index_t done() const { return done_; }
  bool epoch_ends() const { return done_ % steps_per_epoch() == 0; }
  bool has_new_head() const { return new_head_; }
  /// Of the step that step() takes next.
  SupervisedStep schedule() const;
  double stall_seconds() const { return learner_->stall_seconds(); }

  SupervisedReport step();
  /// Mean loss of this epoch's steps so far.
  double epoch_loss() const;
  /// Throws Stopped where FinetuneOptions::stop says so; the run is then as before.
  Validation validate();

  RunState state() const;
  void restore(const RunState& state, const std::string& where);

  /// As learnt so far: the set's labels, sigmoid, these thresholds (empty: .5), and the size as the
  /// input's.
  model::Checkpoint model(const std::vector<float>& thresholds) const;

 private:
  engine::Queue& queue_;
  FinetuneOptions options_;
  model::Checkpoint model_;  ///< with the tensors that training began with
  bool new_head_ = false;
  std::unique_ptr<SupervisedLearner> learner_;
  CosineSchedule learning_rate_;
  index_t done_ = 0;
  double loss_sum_ = 0;  ///< of this epoch's steps
};

}  // namespace vitsnna::train
