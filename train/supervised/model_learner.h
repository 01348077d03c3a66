// The whole model, fine-tuned on images.
#pragma once

#include "engine/arena.h"
#include "engine/graph_cache.h"
#include "model/vit.h"
#include "train/data/loader.h"
#include "train/supervised/learner.h"

namespace vitsnna::train {

class ModelLearner final : public SupervisedLearner {
 public:
  /// `model` has a head for the set's labels. Ranks share each batch.
  ModelLearner(engine::Queue& queue, Communicator& communicator, const model::VitConfig& config,
               const model::ModelMetadata& metadata, const Tensors& tensors, const Dataset& train,
               const Dataset& validation, const ImageReader& reader,
               const FinetuneOptions& options);

  index_t steps_per_epoch() const override { return loader_.steps_per_epoch(); }
  void seek(index_t step) override { loader_.seek(step); }
  SupervisedReport step(const SupervisedStep& settings) override;
  Answers validate() override;
  StateEntries state() const override;
  void refresh() override { vit_.refresh(queue_); }
  Tensors learnt() const override { return download(queue_, vit_.parameters()); }
  double stall_seconds() const override { return loader_.statistics().stall_seconds; }

 private:
  /// What captured gradients were captured with.
  struct Captured {
    const void *pixels = nullptr, *targets = nullptr;
    index_t items = 0;
    const void* scratch = nullptr;
    bool operator==(const Captured&) const = default;
  };
  void run(const float* pixels, index_t items);
  void plan(index_t items);

  engine::Queue& queue_;
  Communicator& communicator_;
  FinetuneOptions options_;
  const Dataset& validation_;
  ImageReader reader_;
  model::Vit vit_;
  Loader loader_;
  BceStep bce_;
  engine::Arena arena_;
  engine::GraphCache<Captured> graphs_;
};

}  // namespace vitsnna::train
