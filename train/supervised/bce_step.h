// What a step of the supervised stage has in common whether the head alone learns or the whole
// model: the loss of some logits, and the optimiser's move.
#pragma once

#include <span>

#include "train/data/staging.h"
#include "train/parallel/gradient_reducer.h"
#include "train/state_entries.h"
#include "train/supervised/options.h"

namespace vitsnna::train {

/// What a schedule says of one step.
struct SupervisedStep {
  double learning_rate = 0;
  double weight_decay = 0;
};

struct SupervisedReport {
  double loss = 0;           ///< mean over the batch's images and labels
  double gradient_norm = 0;  ///< before clipping
  bool finite = true;        ///< else nothing has moved
};

class BceStep {
 public:
  /// Trains `parameters`, whose gradients are summed over the communicator's ranks. All of them
  /// outlive this.
  BceStep(engine::Queue& queue, Communicator& communicator, const model::Parameters& parameters,
          const TensorRules& rules, const FinetuneOptions& options, index_t classes);

  /// `targets` (items, classes) are host memory, free again when this returns.
  void begin(const SupervisedStep& step, std::span<const float> targets);
  /// Binary cross-entropy of `logits` (items, classes), device memory, with the targets;
  /// `gradient` (items, classes) is overwritten.
  void loss(const float* logits, index_t items, index_t global_items, float* gradient);
  /// What ends the gradients: sums over the ranks, norms, whether they are finite.
  void measure();
  /// The targets' memory: it may move in begin().
  const void* targets() const { return targets_.data(); }
  const OptimizerState& optimizer() const { return optimizer_; }
  GradientReducer& reducer() { return reducer_; }
  /// After measure(): moves the parameters, where every number is finite. The same report on every
  /// rank.
  SupervisedReport finish();

 private:
  struct Block;  ///< what lies at the front of `memory_`
  Block* block() const;
  float* positive_weights() const;

  engine::Queue& queue_;
  Communicator& communicator_;
  const model::Parameters& parameters_;
  FinetuneOptions options_;
  index_t classes_;
  GradientReducer reducer_;
  OptimizerState optimizer_;
  DeviceMemory memory_, targets_;
};

}  // namespace vitsnna::train
