// What changes from step to step of a training run: learning rate, weight decay, teacher momentum
// and teacher temperature. SPEC section 4.
#pragma once

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

/// A linear warm-up from `warmup_start` to `base` (both included) over `warmup_steps`, then half a
/// cosine from `base` towards `final`, which it would reach at `steps`.
struct CosineSchedule {
  double base = 0;
  double final = 0;
  index_t steps = 1;         ///< of the whole run
  index_t warmup_steps = 0;  ///< at most `steps`
  double warmup_start = 0;

  /// The value at a step, 0 <= step < steps.
  double at(index_t step) const;
};

/// The teacher's temperature by epoch: linear from `warmup` to `base` (both included) over
/// `warmup_epochs`, then `base`.
struct TemperatureSchedule {
  double base = .04;
  double warmup = .04;
  index_t warmup_epochs = 0;

  double at(index_t epoch) const;
};

}  // namespace vitsnna::train
