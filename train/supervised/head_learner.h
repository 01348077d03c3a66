// A linear head on the features of a backbone that stands still.
#pragma once

#include <optional>

#include "engine/arena.h"
#include "train/data/sampler.h"
#include "train/evaluation/features.h"
#include "train/supervised/learner.h"
#include "train/supervised/standardisation.h"

namespace vitsnna::train {

class HeadLearner final : public SupervisedLearner {
 public:
  /// `head` holds head.weight (labels, width) and head.bias. Every rank has all features and takes
  /// every step whole, so that nothing has to be sent.
  HeadLearner(engine::Queue& queue, const Tensors& head, ImageFeatures train,
              ImageFeatures validation, const FinetuneOptions& options);

  index_t steps_per_epoch() const override { return sampler_.steps_per_epoch(); }
  void seek(index_t step) override { position_ = step; }
  SupervisedReport step(const SupervisedStep& settings) override;
  Answers validate() override;
  StateEntries state() const override;
  void refresh() override { prepared_.prepare(queue_); }
  Tensors learnt() const override;
  double stall_seconds() const override { return 0; }

 private:
  void logits(const engine::Tensor& features, const engine::Tensor& logits) const;

  engine::Queue& queue_;
  ImageFeatures train_, validation_;
  std::optional<Standardisation> standardisation_;  ///< that both have been through
  Sampler sampler_;
  std::unique_ptr<Communicator> alone_;
  model::Parameters parameters_;
  model::PreparedWeights prepared_;
  model::LinearLayer layer_;
  BceStep bce_;
  engine::Arena arena_;
  std::uint32_t order_epoch_ = 0;
  std::vector<index_t> order_;  ///< of order_epoch_
  index_t position_ = 0;
};

}  // namespace vitsnna::train
