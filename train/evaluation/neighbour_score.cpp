// The vote, then metrics.h.
#include "train/evaluation/neighbour_score.h"

#include <fmt/format.h>

#include "kernels/error.h"
#include "train/evaluation/metrics.h"

namespace vitsnna::train {

NeighbourScore score_neighbours(const ImageFeatures& bank, const ImageFeatures& queries,
                                const NeighbourVote& how) {
  if (bank.items < 1 || queries.items < 1 || bank.labels < 1 || bank.labels != queries.labels) {
    throw Error(fmt::format(
        "nearest neighbours: {} images with {} labels vote on {} with {}; some images with the "
        "same labels wanted",
        bank.items, bank.labels, queries.items, queries.labels));
  }
  const std::vector<float> votes =
      vote({bank.items, bank.width, bank.features}, bank.targets, bank.labels,
           {queries.items, queries.width, queries.features}, how);
  const std::vector<float> thresholds(static_cast<std::size_t>(queries.labels), .5f);
  const LabelReport report =
      score({queries.items, queries.labels, votes, queries.targets}, thresholds);
  NeighbourScore result;
  result.mean_auc = report.mean_auc;
  for (const LabelScores& label : report.labels) result.auc.push_back(label.auc);
  return result;
}

}  // namespace vitsnna::train
