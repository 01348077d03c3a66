// The one entry to every explanation: an image, some labels and some methods in; one map per label
// and method out, every forward pass shared between them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/ledger.h"
#include "engine/queue.h"
#include "explain/methods.h"
#include "model/vit.h"

namespace vitsnna::explain {

/// A normalised image: (channels, height, width) fp32 in host memory, height and width multiples of
/// the model's patch size.
struct ImageView {
  const float* pixels = nullptr;
  index_t height = 0;
  index_t width = 0;
};

struct ExplainRequest {
  std::vector<Method> methods = {Method::snna};
  Formulation formulation = Formulation::paper;
  LabelSelection labels;
  index_t samples = 5;             ///< m >= 1, noisy copies
  double noise_level = .15;        ///< sigma / (max - min of the normalised image), >= 0
  index_t integration_steps = 20;  ///< of integrated gradients, >= 1
  Baseline baseline = Baseline::zero;
  const float* baseline_image = nullptr;  ///< `custom`: (channels, height, width)
  std::uint64_t seed = 0;
  /// Replaces the generator: (samples, channels, height, width), already scaled, added as is.
  const float* noise = nullptr;
  /// Bytes of device memory that activations and scratch may take; 0: no limit but what the device
  /// has free. Weights count.
  index_t memory_limit = 0;
};

/// Seconds spent, and operations done, by stage: "forward", "backward", "relevance", "noise",
/// "integrated_gradients"; only the stages that ran.
struct StageCost {
  double seconds = 0;
  double flops = 0;
};

struct Explanation {
  index_t grid_height = 0, grid_width = 0;
  std::vector<float> logits;         ///< (classes), of the clean image
  std::vector<float> probabilities;  ///< (classes), by the model's activation
  std::vector<index_t> labels;       ///< resolved, in the order asked for
  std::vector<Method> methods;       ///< as asked for
  /// maps[label position * methods.size() + method position]: (grid_height * grid_width),
  /// row-major, unnormalised, signed where the method is.
  std::vector<std::vector<float>> maps;
  /// Integrated gradients only, per label: sum of the attributions, and f(x) - f(baseline), which
  /// it equals for infinitely many steps.
  struct Completeness {
    double attributed = 0;
    double difference = 0;
  };
  std::vector<Completeness> completeness;
  std::map<std::string, StageCost> stages;    ///< or "graph" alone, when all was one launch
  std::map<std::string, engine::OpCost> ops;  ///< the same by op: what bounds the time
  index_t samples_at_a_time = 0;  ///< noise samples per batch, as the memory limit allowed
  index_t device_bytes = 0;       ///< arena + scratch + weights, the peak

  std::span<const float> map(std::size_t label, std::size_t method) const {
    return maps.at(label * methods.size() + method);
  }
};

/// What a request would cost, without computing anything.
struct ExplainPlan {
  double flops = 0;
  index_t weight_bytes = 0;
  index_t arena_bytes = 0;
  index_t scratch_bytes = 0;
  index_t samples_at_a_time = 0;
  index_t device_bytes() const { return weight_bytes + arena_bytes + scratch_bytes; }
};

/// fraction in [0, 1] of the work of one explain() call; called from the calling thread.
using Progress = std::function<void(double fraction)>;

class Passes;
struct ExplanationShape;
struct PlannedExplanation;

class Explainer {
 public:
  /// Both must outlive the explainer. Not thread safe: one explainer a thread.
  Explainer(const model::Vit& vit, engine::Queue& queue);
  ~Explainer();

  /// Throws Error when the request does not fit the model (label out of range, a backbone without
  /// a head, size not a multiple of the patch) or the memory limit (naming the least that works).
  /// A device that says what is free is never asked for more; where it has less than it said, the
  /// batch shrinks to one sample before OutOfMemory is thrown.
  Explanation explain(const ImageView& image, const ExplainRequest& request,
                      const Progress& progress = {});

  /// The same decisions as explain() for an image of this size. `predicted` labels of a sigmoid
  /// head, unknown before the forward, are taken to be two.
  ExplainPlan plan(index_t height, index_t width, const ExplainRequest& request) const;

  /// What predict() costs for an image of this size; a backbone without a head has a cost too.
  ExplainPlan plan_forward(index_t height, index_t width) const;

  /// Logits (classes) of an image.
  std::vector<float> predict(const ImageView& image);

  /// Attention of the CLS query in one block: (heads, 1 + patches), rows summing to 1.
  std::vector<float> cls_attention(const ImageView& image, index_t block);

 private:
  struct Workspace;
  Explanation explain_once(const ImageView& image, const ExplainRequest& request,
                           const Progress& progress);
  void run_passes(Passes& passes, const ExplanationShape& shape, const PlannedExplanation& planned,
                  const ExplainRequest& request, const Progress& progress,
                  Explanation& explanation);
  const model::Vit& vit_;
  engine::Queue& queue_;
  std::unique_ptr<Workspace> workspace_;
};

/// Probabilities of logits: softmax over classes, or a sigmoid each.
std::vector<float> probabilities(std::span<const float> logits, model::Activation activation);

/// SPEC section 9, `predicted`: softmax: the highest logit; sigmoid: all at or above their
/// threshold, else the highest.
std::vector<index_t> predicted_labels(std::span<const float> logits,
                                      const model::ModelMetadata& metadata);

}  // namespace vitsnna::explain
