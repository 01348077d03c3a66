// How well a backbone's features separate labels while it is being trained: DINO's nearest
// neighbours, scored by the area under the curve.
#pragma once

#include <vector>

#include "train/evaluation/features.h"
#include "train/evaluation/nearest_neighbours.h"

namespace vitsnna::train {

struct NeighbourScore {
  double mean_auc = 0;      ///< of the labels that have one; not a number when none has
  std::vector<double> auc;  ///< by label; not a number where queries are all positive or negative
};

/// Votes of `bank` on `queries` against what is true. Throws Error where one of them is empty or
/// has no labels, or where their widths or labels differ.
NeighbourScore score_neighbours(const ImageFeatures& bank, const ImageFeatures& queries,
                                const NeighbourVote& how = {});

}  // namespace vitsnna::train
