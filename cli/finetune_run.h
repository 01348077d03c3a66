// A `finetune` run in its folder: what is printed, logged and kept of it.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/finetune_options.h"
#include "cli/label_report.h"
#include "cli/run_folder.h"
#include "cli/speed.h"
#include "train/supervised/finetuning.h"

namespace vitsnna::cli {

/// What curve.png shows.
const std::vector<train::CurvePanel>& finetune_panels();

class FinetuneRun {
 public:
  /// `console` is silent on all ranks but the first. What is passed by reference outlives this.
  FinetuneRun(const FinetuneArguments& arguments, train::Finetuning& run, RunFolder& folder,
              train::Communicator& ranks, std::vector<std::string> labels, const Console& console);

  /// Goes on from the folder's newest checkpoint, if it has one.
  void resume();
  /// To the end, or until a signal asks to stop: then what has been learnt is saved.
  void train_until_done();

 private:
  /// Metrics of an epoch's last step, to which validation adds its own.
  using Values = std::map<std::string, double>;
  bool take_step();
  void end_epoch(const Values& values);
  LabelTable scores(const train::Validation& validation) const;
  void write_model(const char* name, const LabelTable& table);
  void save();
  void stop();
  void finish();
  void print_json(const nlohmann::ordered_json& last) const;

  const FinetuneArguments& arguments_;
  train::Finetuning& run_;
  RunFolder& folder_;
  train::Communicator& ranks_;
  std::vector<std::string> labels_;
  const Console& console_;
  std::optional<Speed> speed_;
  std::optional<Values> pending_;   ///< of an epoch that has not been validated
  std::optional<LabelTable> last_;  ///< the newest validation's
  double best_ = -1;
};

}  // namespace vitsnna::cli
