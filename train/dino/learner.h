// DINO self-distillation, a step at a time: a student that sees every crop, a teacher that sees the
// global ones and follows the student by an exponential average. SPEC section 4.
//
//   learner.begin(schedules of the step);
//   learner.add(crops, images of the whole batch);   // once a part of an accumulated batch
//   DinoReport report = learner.finish(images of the whole batch);
//
// Where the backend has graphs, the work of add() and that of the update are captured at their
// second time and are one launch each from the third on, with the same bits.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "model/forward.h"
#include "train/dino/drop_path.h"
#include "train/dino/network.h"
#include "train/optimizer_state.h"
#include "train/parallel/gradient_reducer.h"

namespace vitsnna::train {

struct DinoOptions {
  float student_temperature = .1f;
  float centre_momentum = .9f;
  float clip = 3.f;    ///< greatest L2 norm of each tensor's gradient; 0: none
  DropPath drop_path;  ///< of the student
};

/// What the schedules say about one step.
struct DinoStep {
  index_t number = 0;  ///< of the run's steps: drop path draws anew each
  double learning_rate = 0;
  double weight_decay = 0;
  double teacher_momentum = 1;
  double teacher_temperature = .04;
  bool freeze_last_layer = false;
};

/// Crops of one size, all images of one crop before the next crop's.
struct CropBatch {
  index_t crops = 0;              ///< of each image
  index_t height = 0, width = 0;  ///< multiples of the patch size
  const float* pixels = nullptr;  ///< (crops * images, channels, height, width), device memory
};

struct DinoReport {
  double loss = 0;
  double teacher_entropy = 0;  ///< mean over the teacher's rows, between 0 and ln(out_dim)
  double divergence = 0;       ///< KL(teacher | student): loss less entropy
  double gradient_norm = 0;    ///< before clipping
  double centre_norm = 0;
  bool finite = true;        ///< loss and every gradient
  int non_finite_rank = -1;  ///< the first rank whose own share of the loss is not finite
  bool stop = false;         ///< some rank asked for it
};

class DinoLearner {
 public:
  /// Student and teacher start from the same tensors (canonical names of backbone and head). The
  /// backbone has no classification head and is read at its last block. Products run in
  /// `precision`; masters, moments and the loss are fp32. With a communicator every rank adds an
  /// equal share of each batch's images, and all ranks have the same bits after each step.
  DinoLearner(engine::Queue& queue, const model::VitConfig& config,
              const model::ModelMetadata& metadata, const DinoHeadConfig& head_config,
              const std::map<std::string, engine::HostTensor>& backbone_tensors,
              const std::map<std::string, engine::HostTensor>& head_tensors, DType precision,
              const DinoOptions& options, Communicator* communicator = nullptr);
  ~DinoLearner();

  void begin(const DinoStep& step);

  /// Adds the gradients of one part of the batch. `global` has two crops an image; `local` may have
  /// none. Throws Error where the sizes do not fit. Memory is planned at a new shape and kept.
  /// `numbers` are the images' own, in the data set, wherever the batch puts them: drop path asks.
  void add(index_t images, const CropBatch& global, const CropBatch& local, index_t batch_images,
           std::span<const index_t> numbers = {});

  /// Clips, steps, moves the teacher and the centre. Nothing moves where a number is not finite,
  /// but for the counts of moves: a run cannot go on from there. The report is of the whole batch,
  /// the same on every rank; `stop` asks all of them to stop.
  DinoReport finish(index_t batch_images, bool stop = false);

  const DinoNetwork& student() const { return student_; }
  const DinoNetwork& teacher() const { return teacher_; }
  const OptimizerState& backbone_state() const { return backbone_state_; }
  const OptimizerState& head_state() const { return head_state_; }
  float* centre() const;  ///< (out_dim), device memory
  /// After parameters have been set from outside (train/dino/learner_state.h).
  void refresh();

 private:
  struct Buffers;
  struct Shape;
  struct Captured;
  void run(const Shape& shape, engine::Arena& arena, const CropBatch& global,
           const CropBatch& local);
  void plan(const Shape& shape, const CropBatch& global, const CropBatch& local);
  void upload_branch_factors(const Shape& shape, std::span<const index_t> numbers);
  bool repeatable() const;
  void measure();
  void move(index_t batch_images);
  index_t share_of(index_t batch_images) const;

  engine::Queue& queue_;
  DinoOptions options_;
  std::unique_ptr<Communicator> alone_;
  Communicator& communicator_;
  GradientReducer reducer_;
  index_t added_ = 0;                  ///< images since begin()
  index_t step_ = 0;                   ///< DinoStep::number
  std::vector<float> branch_factors_;  ///< of the part in hand, while the queue copies them
  DinoNetwork student_, teacher_;
  OptimizerState backbone_state_, head_state_;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace vitsnna::train
