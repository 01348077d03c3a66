// The folder of a training run: its options, metrics, checkpoints and curve. Only rank 0 writes;
// calls are collective.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/run_lock.h"
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
    bool read_only = false;                ///< create() is never called
    index_t keep = 3;                      ///< checkpoints
    std::set<std::string> may_change;      ///< options that a resumed run may give anew
    std::vector<train::CurvePanel> curve;  ///< what curve.png shows
  };

  /// Looks and writes nothing. Throws Error where the folder is neither empty nor, to resume, that
  /// of a run that was started with the same options.
  RunFolder(Options options, train::RunConfig config, train::Communicator& ranks,
            const Console& console);

  /// Whether a run is there, to go on with.
  bool is_run() const { return is_run_; }
  /// Makes the folder with its config.json where it is not there yet: once nothing is left to be
  /// found wrong. Throws Error where another process is at work on the run. The calls below come
  /// after it.
  void create();

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

  /// Before the first log(): drops what was logged of later steps, which are done anew; -1: of all.
  void open_log(index_t last_step);
  void log(index_t step, const std::map<std::string, double>& values);
  /// What depends on the clock and is no part of what a resumed run repeats.
  void log_timing(index_t step, const std::map<std::string, double>& values);

  /// Writes the checkpoint, behind the log that leads to it. Throws Error naming the first tensor
  /// where ranks have come to differ.
  void save(const train::RunState& state);
  /// Draws the log; save() does too, where it has grown by a twentieth since.
  void draw_curve();

 private:
  Options options_;
  train::RunConfig config_;
  bool is_run_;
  train::Communicator& ranks_;
  const Console& console_;
  RunLock lock_;
  std::unique_ptr<train::CheckpointStore> checkpoints_;
  std::unique_ptr<train::MetricsLog> log_, timing_;
  std::uintmax_t drawn_ = 0;  ///< bytes of the log, when it was
};

/// Numbers of a step whose evaluation was stopped, in a checkpoint's metadata: the run that goes on
/// from there evaluates first.
void keep_pending(train::RunState& state, const std::map<std::string, double>& values);
/// None where the checkpoint has none. Throws Error naming `where` and what is wrong.
std::optional<std::map<std::string, double>> pending_of(const train::RunState& state,
                                                        const std::string& where);

}  // namespace vitsnna::cli
