// The folder of a training run: its options, metrics, checkpoints and curve. Only rank 0 writes;
// calls are collective.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/console.h"
#include "train/parallel/communicator.h"
#include "train/run/checkpoint_store.h"
#include "train/run/metrics_log.h"
#include "train/run/run_config.h"
#include "train/run/training_curve.h"

namespace vitsnna::cli {

using kernels::index_t;

class RunFolder {
 public:
  struct Options {
    std::filesystem::path path;
    bool resume = false;
    index_t keep = 3;                      ///< checkpoints
    std::set<std::string> may_change;      ///< options that a resumed run may give anew
    std::vector<train::CurvePanel> curve;  ///< what curve.png shows
  };

  /// Makes the folder with its config.json, or, to resume, checks that it was started with the same
  /// options. Throws Error where it is neither empty nor such a run, and then leaves it alone.
  RunFolder(Options options, const train::RunConfig& config, train::Communicator& ranks,
            const Console& console);

  const std::filesystem::path& path() const { return options_.path; }
  bool writes() const { return ranks_.rank() == 0; }

  /// A checkpoint, and the file that it came from.
  struct Found {
    train::RunState state;
    std::string file;
  };
  /// The newest whole checkpoint of a run that is resumed; none where it has none, or is not
  /// resumed. Says which on the console.
  std::optional<Found> newest();

  /// Before the first log(): drops what was logged of steps that are done anew.
  void open_log(index_t steps_done);
  void log(index_t step, const std::map<std::string, double>& values);

  /// Writes the checkpoint and the curve. Throws Error where ranks have come to differ.
  void save(const train::RunState& state);

 private:
  Options options_;
  train::Communicator& ranks_;
  const Console& console_;
  std::unique_ptr<train::CheckpointStore> checkpoints_;
  std::unique_ptr<train::MetricsLog> log_;
};

}  // namespace vitsnna::cli
