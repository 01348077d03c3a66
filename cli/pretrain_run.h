// A `pretrain` run in its folder: what is printed, logged and kept of it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/neighbour_watch.h"
#include "cli/pretrain_options.h"
#include "cli/run_folder.h"
#include "cli/speed.h"
#include "train/dino/pretraining.h"

namespace vitsnna::cli {

/// What curve.png shows.
const std::vector<train::CurvePanel>& pretrain_panels();

class PretrainRun {
 public:
  /// `neighbours` may be null. `console` is silent on all ranks but the first. What is passed by
  /// reference outlives this.
  PretrainRun(const PretrainArguments& arguments, train::Pretraining& run, RunFolder& folder,
              NeighbourWatch* neighbours, train::Communicator& ranks, const Console& console);

  /// Goes on from the folder's newest checkpoint, if it has one.
  void resume();
  /// To the end, or until a signal asks to stop: then what has been learnt is saved.
  void train_until_done();

 private:
  using Values = std::map<std::string, double>;
  void train();
  bool take_step();
  void end_step(const Values& values, bool stops);
  void print(const train::DinoReport& report, const train::DinoStep& schedule);
  Values evaluate();
  void save();

  const PretrainArguments& arguments_;
  train::Pretraining& run_;
  RunFolder& folder_;
  NeighbourWatch* neighbours_;
  train::Communicator& ranks_;
  const Console& console_;
  std::optional<Speed> speed_;
  std::optional<Values> pending_;  ///< of a step that has not been evaluated
  std::string warned_;
};

}  // namespace vitsnna::cli
