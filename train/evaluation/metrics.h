// How well probabilities of several labels a picture agree with the truth. SPEC section 5.
#pragma once

#include <span>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

/// One label's scores. A score whose denominator is zero is 0; an area under the curve without both
/// positives and negatives is not a number.
struct LabelScores {
  index_t items = 0;
  index_t positives = 0;
  double precision = 0;
  double recall = 0;
  double f1 = 0;
  double accuracy = 0;
  double auc = 0;  ///< P(a positive's probability > a negative's), ties counted half
};

/// Scores of every label and their means.
struct LabelReport {
  std::vector<LabelScores> labels;
  double mean_f1 = 0;
  double mean_accuracy = 0;
  double mean_auc = 0;  ///< of the labels that have one; not a number when none has
};

/// Rows of `labels` numbers an item. Targets are 0 or 1.
struct LabelledProbabilities {
  index_t items = 0;
  index_t labels = 0;
  std::span<const float> probabilities;  ///< (items, labels) in [0, 1]
  std::span<const float> targets;        ///< (items, labels)
};

/// A label is predicted where its probability is at or above its threshold.
/// Throws Error where the extents do not fit or a probability is not finite.
LabelReport score(const LabelledProbabilities& given, std::span<const float> thresholds);

/// The constant predictor: each label always has its more frequent value of `targets`.
LabelReport score_constant(const LabelledProbabilities& given);

/// For each label the threshold with the highest F1: midway between two neighbouring
/// probabilities, the lowest of equals. A label without a positive keeps .5.
std::vector<float> tune_thresholds(const LabelledProbabilities& given);

}  // namespace vitsnna::train
