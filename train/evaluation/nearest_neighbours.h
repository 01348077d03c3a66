// How well features separate labels without any training: a weighted vote of the nearest
// neighbours, as DINO evaluates its backbones.
#pragma once

#include <span>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

/// Features with their labels.
struct FeatureSet {
  index_t items = 0;
  index_t width = 0;
  std::span<const float> features;  ///< (items, width)
};

struct NeighbourVote {
  index_t neighbours = 20;   ///< fewer where the bank has fewer
  double temperature = .07;  ///< a neighbour's weight is exp(cosine / temperature)
  int num_threads = 1;
};

/// For each query and label, the weighted mean of the nearest bank items' targets: (queries,
/// labels) in [0, 1]. Neighbours are ranked by cosine similarity, the earlier of equals first; a
/// zero feature has cosine 0 with everything. The result does not depend on the thread count.
/// `targets` is (bank.items, labels). Throws Error where the extents do not fit.
std::vector<float> vote(const FeatureSet& bank, std::span<const float> targets, index_t labels,
                        const FeatureSet& queries, const NeighbourVote& how);

}  // namespace vitsnna::train
