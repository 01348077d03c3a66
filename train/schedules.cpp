// The schedules' formulas, in double as the reference has them.
#include "train/schedules.h"

#include <cmath>
#include <numbers>

namespace vitsnna::train {

namespace {

/// Element `index` of `count` evenly spaced values from `first` to `last`, both included.
double evenly_spaced(double first, double last, index_t count, index_t index) {
  if (count == 1) return first;
  return first + (last - first) * static_cast<double>(index) / static_cast<double>(count - 1);
}

}  // namespace

double CosineSchedule::at(index_t step) const {
  if (step < warmup_steps) return evenly_spaced(warmup_start, base, warmup_steps, step);
  const double progress =
      static_cast<double>(step - warmup_steps) / static_cast<double>(steps - warmup_steps);
  return final + .5 * (base - final) * (1. + std::cos(std::numbers::pi * progress));
}

double TemperatureSchedule::at(index_t epoch) const {
  if (epoch < warmup_epochs) return evenly_spaced(warmup, base, warmup_epochs, epoch);
  return base;
}

}  // namespace vitsnna::train
