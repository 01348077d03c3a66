// `pretrain --knn-every`: how well the teacher's features separate the labels of a set, and which
// teacher was the best.
#pragma once

#include <map>
#include <string>

#include "cli/pass_progress.h"
#include "cli/pretrain_options.h"
#include "train/evaluation/neighbour_score.h"
#include "train/parallel/communicator.h"

namespace vitsnna::cli {

class NeighbourWatch {
 public:
  /// Opens the labelled set's splits train and val. Throws Error naming the option and what the set
  /// lacks, or the size that the backbone's patches do not divide. What is passed by reference
  /// outlives this.
  NeighbourWatch(const PretrainArguments& arguments, const model::VitConfig& backbone,
                 engine::Queue& queue, train::Communicator& ranks, PassProgress& progress);

  /// After every --knn-every epochs, and at the end.
  bool due(const train::Pretraining& run) const;

  struct Result {
    std::map<std::string, double> values;  ///< knn_auc, their mean, and knn_auc_<label>
    std::string text;                      ///< the same to be read
    bool is_best = false;                  ///< of all that were measured in this run
  };
  /// Throws Stopped where a signal asks to stop; nothing has changed then.
  Result measure(const train::Pretraining& run);

  /// Those that vote, and those that are voted on.
  const train::Dataset& bank() const { return bank_; }
  const train::Dataset& queries() const { return queries_; }

  /// The best score so far, in a checkpoint's metadata.
  void collect(train::RunState& state) const;
  void restore(const train::RunState& state, const std::string& where);

 private:
  train::ImageFeatures features(const train::Pretraining& run, const train::Dataset& set) const;

  const PretrainArguments& arguments_;
  engine::Queue& queue_;
  train::Communicator& ranks_;
  PassProgress& progress_;
  train::Dataset bank_, queries_;
  double best_ = -1;
};

}  // namespace vitsnna::cli
