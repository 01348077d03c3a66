// Features brought to mean 0 and deviation 1 while a head is trained on them: its weights are then
// of one scale, so that decay treats all of them alike. What comes out is a head for the features
// as they are.
#pragma once

#include <vector>

#include "train/evaluation/features.h"
#include "train/state_entries.h"

namespace vitsnna::train {

class Standardisation {
 public:
  /// Means and deviations of the columns of `set`; one that never changes has deviation 1.
  explicit Standardisation(const ImageFeatures& set);

  /// feature = (feature - mean) / deviation
  void apply(ImageFeatures& set) const;

  /// A head of features as they are (head.weight (labels, width), head.bias) as one of standardised
  /// features: weight * deviation, bias + weight . mean.
  Tensors to_standardised(const Tensors& head) const;
  /// The way back: weight / deviation, bias - weight . mean / deviation.
  Tensors from_standardised(const Tensors& head) const;

 private:
  std::vector<double> mean_, deviation_;
};

}  // namespace vitsnna::train
