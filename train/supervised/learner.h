// What the supervised stage trains: the head alone on kept features, or the whole model. Private to
// train/supervised/.
#pragma once

#include "train/supervised/bce_step.h"

namespace vitsnna::train {

class SupervisedLearner {
 public:
  SupervisedLearner() = default;
  virtual ~SupervisedLearner() = default;
  SupervisedLearner(const SupervisedLearner&) = delete;
  SupervisedLearner& operator=(const SupervisedLearner&) = delete;

  virtual index_t steps_per_epoch() const = 0;
  /// The step that step() takes next.
  virtual void seek(index_t step) = 0;
  virtual SupervisedReport step(const SupervisedStep& settings) = 0;

  /// Logits and truth of the validation set, in its order.
  struct Answers {
    index_t items = 0;
    std::vector<float> logits, targets;  ///< (items, classes)
  };
  virtual Answers validate() = 0;

  /// All that has been learnt, for a checkpoint; refresh() after it has been set from one.
  virtual StateEntries state() const = 0;
  virtual void refresh() = 0;
  /// What differs of the model's tensors from those that training began with.
  virtual Tensors learnt() const = 0;
  virtual double stall_seconds() const = 0;  ///< spent waiting for images
};

}  // namespace vitsnna::train
