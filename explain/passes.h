// The passes of one explanation in order, on a planning arena or a real one, eagerly or into a
// graph. Private to explain/.
#pragma once

#include <optional>

#include "explain/averaged_pass.h"
#include "explain/clean_pass.h"

namespace vitsnna::explain {

/// How much is computed at a time.
struct Batching {
  index_t labels = 1;   ///< of the clean backward
  index_t samples = 1;  ///< noisy copies, and points of a path
  bool operator==(const Batching&) const = default;
};

class Passes {
 public:
  /// Allocates inputs and results; launches nothing. `request` and `shape` must outlive it.
  Passes(const model::PassContext& pass, const ExplainRequest& request,
         const ExplanationShape& shape, const Batching& batching);
  Passes(const Passes&) = delete;
  Passes& operator=(const Passes&) = delete;

  const PassInputs& inputs() const { return inputs_; }
  const DeviceIngredients& results() const { return results_; }

  /// The clean image's forward: leaves the logits.
  void forward(StageClock& clock);
  /// Everything else, for the first `labels` unit labels.
  void explain(index_t labels, StageClock& clock);

 private:
  void noise(index_t labels, StageClock& clock) const;
  void integrated_gradients(index_t labels, StageClock& clock) const;

  PassInputs inputs_;
  DeviceIngredients results_;
  const ExplanationShape& shape_;
  Batching batching_;
  ExplainContext context_;
  index_t mark_ = 0;  ///< of the arena, before the clean forward
  std::optional<model::ForwardPass> forward_;
};

}  // namespace vitsnna::explain
