// Features of both splits, the vote, and what is said of it.
#include "cli/neighbour_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/stop_request.h"
#include "kernels/error.h"
#include "train/data/image_files.h"
#include "train/data/model_input.h"
#include "train/data/sources/sources.h"

namespace vitsnna::cli {
namespace {

constexpr const char* kBest = "best_knn_auc";

train::Dataset open_labelled(const PretrainArguments& arguments, const std::string& split) {
  const bool own = !arguments.knn_data.empty();
  const std::string& what = own ? arguments.knn_data : arguments.data;
  const char* option = own ? "--knn-data" : "--knn-every: --data";
  const std::vector<std::string> splits = train::splits_of(what);
  if (std::find(splits.begin(), splits.end(), split) == splits.end()) {
    throw Error(fmt::format("{} {}: has no split {}, a labelled set with train and val wanted",
                            option, what, split));
  }
  train::Dataset set = train::open_dataset(what, split);
  if (set.label_count() == 0) {
    throw Error(
        fmt::format("{} {}: has no labels, nearest neighbours are scored by them", option, what));
  }
  return set;
}

}  // namespace

NeighbourWatch::NeighbourWatch(const PretrainArguments& arguments, const model::VitConfig& backbone,
                               engine::Queue& queue, train::Communicator& ranks,
                               PassProgress& progress)
    : arguments_(arguments),
      queue_(queue),
      ranks_(ranks),
      progress_(progress),
      bank_(open_labelled(arguments, "train")),
      queries_(open_labelled(arguments, "val")) {
  train::require_both_values(queries_);
  train::require_whole_patches("--knn-size", knn_size(arguments), backbone);
}

bool NeighbourWatch::due(const train::Pretraining& run) const {
  return run.done() % (arguments_.knn_every * run.steps_per_epoch()) == 0 ||
         run.done() == run.steps();
}

train::ImageFeatures NeighbourWatch::features(const train::Pretraining& run,
                                              const train::Dataset& set) const {
  train::FeatureOptions options;
  options.size = knn_size(arguments_);
  options.decode_threads = arguments_.options.decode_threads;
  options.max_bad = arguments_.options.max_bad;
  options.report_bad = arguments_.options.report_bad;
  options.progress = [&](index_t done, index_t all) { progress_.update(done, all); };
  options.stop = stop_requested;
  return train::cls_features(queue_, ranks_, run.teacher_backbone(), set, train::image_files(),
                             options);
}

NeighbourWatch::Result NeighbourWatch::measure(const train::Pretraining& run) {
  const train::ImageFeatures bank = features(run, bank_), queries = features(run, queries_);
  train::NeighbourVote how;
  how.num_threads = queue_.num_threads();
  const train::NeighbourScore score = train::score_neighbours(bank, queries, how);
  Result result;
  result.values["knn_auc"] = score.mean_auc;
  result.text = fmt::format("mean AUC {:.4f}", score.mean_auc);
  for (std::size_t label = 0; label < score.auc.size(); ++label) {
    result.values["knn_auc_" + queries_.label_names[label]] = score.auc[label];
    result.text += fmt::format("  {} {:.4f}", queries_.label_names[label], score.auc[label]);
  }
  result.is_best = score.mean_auc > best_;
  if (result.is_best) best_ = score.mean_auc;
  return result;
}

void NeighbourWatch::collect(train::RunState& state) const {
  state.metadata[kBest] = fmt::format("{}", best_);  // the shortest text that reads back as it is
}

void NeighbourWatch::restore(const train::RunState& state, const std::string& where) {
  best_ = train::number_in(state, kBest, where);
}

}  // namespace vitsnna::cli
