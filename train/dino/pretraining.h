// DINO's recipe over a set of images, a step at a time: schedules, loader and learner together.
// SPEC section 4.
//
//   Pretraining run(queue, communicator, options, backbone, dataset, reader);
//   if (resumed) run.restore(*checkpoints.newest(problems));
//   while (run.done() < run.steps()) { DinoReport report = run.step(); ... }
#pragma once

#include <functional>
#include <string>

#include "model/checkpoint.h"
#include "train/augment/recipe.h"
#include "train/data/loader.h"
#include "train/dino/learner_state.h"
#include "train/parallel/communicator.h"
#include "train/run/checkpoint_store.h"
#include "train/schedules.h"

namespace vitsnna::train {

struct PretrainOptions {
  index_t epochs = 100;
  index_t batch = 64;            ///< images of a step, those of all ranks and parts together
  index_t accumulate = 1;        ///< parts in which a rank takes its share
  double learning_rate = .0005;  ///< of a batch of 256; a batch of another size scales it
  double final_learning_rate = 1e-6;
  index_t warmup_epochs = 10;
  double weight_decay = .04, final_weight_decay = .4;
  double teacher_momentum = .996;  ///< rising to 1
  TemperatureSchedule teacher_temperature;
  index_t freeze_last_layer_epochs = 1;
  double drop_path = .1;  ///< rate of the student's last block; 0: none
  DinoOptions learner;
  DinoHeadConfig head;  ///< in_features is the backbone's
  DinoCrops crops;
  std::uint64_t seed = 0;  ///< of the head, the order of images and the crops
  kernels::DType precision = kernels::DType::f32;
  int decode_threads = 2;
  double max_bad = .01;
  CacheKind cache = CacheKind::none;
  std::filesystem::path cache_folder;
  std::function<void(const std::string&)> report_bad;
};

/// What the schedules say, by step.
class DinoSchedules {
 public:
  /// Throws Error where the warm-up is longer than the run.
  DinoSchedules(const PretrainOptions& options, index_t steps_per_epoch);
  DinoStep at(index_t step) const;
  index_t steps() const { return learning_rate_.steps; }
  index_t steps_per_epoch() const { return steps_per_epoch_; }

 private:
  index_t steps_per_epoch_;
  CosineSchedule learning_rate_, weight_decay_, teacher_momentum_;
  TemperatureSchedule teacher_temperature_;
  index_t freeze_epochs_;
};

/// A sentence where the teacher's entropy says that it has collapsed, onto the uniform distribution
/// (above 99.9% of ln(out_dim)) or onto one dimension (below 0.1%); empty where it has not.
std::string collapse_warning(double teacher_entropy, index_t out_dim);

class Pretraining {
 public:
  /// Starts at step 0 from the backbone's tensors; a classification head among them is left out.
  /// What is passed by reference outlives the run. Throws Error naming the option that does not
  /// fit: a batch that ranks and parts do not divide, crops that are no multiples of the patch
  /// size.
  Pretraining(engine::Queue& queue, Communicator& communicator, const PretrainOptions& options,
              const model::Checkpoint& backbone, const Dataset& dataset, ImageReader reader);

  index_t steps() const { return schedules_.steps(); }
  index_t steps_per_epoch() const { return schedules_.steps_per_epoch(); }
  index_t done() const { return done_; }
  const PretrainOptions& options() const { return options_; }
  /// Of the step that step() takes next.
  DinoStep schedule() const { return schedules_.at(done_); }

  /// One step. A report that is not finite has left state() as it was and ends the run; inputs()
  /// then are those of the step. `stop` is asked when the step has been computed; where it says so
  /// on some rank, the report says it on all.
  DinoReport step(const std::function<bool()>& stop = {});

  /// This rank's share of what step() takes next: for each part P the numbers of its images,
  /// part-P/images, and their normalised crops, part-P/global (2 images, 3, H, W) and part-P/local.
  Tensors inputs();
  /// A step on inputs() of this state instead of the data's. Throws Error naming `where` and the
  /// tensor that does not fit.
  DinoReport replay(const Tensors& inputs, const std::string& where);

  /// Everything that a run needs to go on from here bit for bit.
  RunState state() const;
  /// Throws Error naming `where` and what does not fit.
  void restore(const RunState& state, const std::string& where);

  /// The teacher's backbone on the device, as of the last step.
  const model::Vit& teacher_backbone() const { return learner_.teacher().backbone; }
  /// The teacher as a model without a head, under the names that timm and `vitsnna` read.
  model::Checkpoint teacher() const;
  LoaderStatistics data() const { return loader_.statistics(); }

 private:
  /// What one part of a step is computed from, on the device.
  struct Part {
    std::vector<index_t> images;
    CropBatch global, local;
  };
  Part next_part();
  DinoReport take_step(const std::function<Part(index_t part)>& part_of,
                       const std::function<bool()>& stop);
  index_t images_of_a_part() const;

  engine::Queue& queue_;
  Communicator& communicator_;
  PretrainOptions options_;
  model::Checkpoint model_;  ///< the backbone, without tensors
  DinoLearner learner_;
  Loader loader_;
  DinoSchedules schedules_;
  index_t done_ = 0;
};

}  // namespace vitsnna::train
