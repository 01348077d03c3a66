// Options that several subcommands share, as plain structs, and how each group is declared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/console.h"
#include "explain/input_geometry.h"
#include "explain/pictures/overlay.h"
#include "model/checkpoint.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace vitsnna::cli {

using kernels::index_t;

/// Which weights to read out of a file, for every subcommand that reads a model.
struct CheckpointArguments {
  std::string part;  ///< "", "teacher", "student"
  std::string head_file;
  index_t heads = 0;  ///< 0: as the file says

  model::CheckpointOptions resolve() const;
};

/// What the user knows better than the file's metadata.
struct MetadataArguments {
  std::string mean, deviation;  ///< one number or three
  std::string labels_file;
  std::string activation;  ///< "", "sigmoid", "softmax"
  std::string thresholds;  ///< one number, or one a class
  std::string input_size;  ///< HxW; `convert` only
  double crop_pct = 0;     ///< 0: not given; `convert` only

  /// Throws UsageError for a malformed option, Error for a file that does not fit the model.
  void apply(const model::VitConfig& config, model::ModelMetadata& metadata) const;
};

struct ModelArguments {
  std::string model;  ///< a checkpoint, or "random", or "random:SEED"
  CheckpointArguments checkpoint;
  MetadataArguments metadata;
};

struct InputArguments {
  std::vector<std::string> inputs;
  std::string size, crop;

  /// Throws UsageError where either is malformed.
  explain::SizeOptions resolve() const;
};

struct RunArguments {
  Verbosity verbosity;
  int threads = 0;  ///< 0: as many as the process may use
  std::string device = "auto";
  std::string precision = "fp32";
};

struct DrawingArguments {
  std::string colormap = "jet";
  double alpha = .5;
  std::string blend = "blend";

  explain::OverlayOptions resolve() const;
};

struct OutputArguments {
  std::string folder;
  bool force = false;
};

void declare(CLI::App& app, CheckpointArguments& arguments);
/// Of a backbone, whose head nobody asks for.
void declare_part_and_heads(CLI::App& app, CheckpointArguments& arguments);
/// `for_convert` adds those that only make sense when they are written down.
void declare(CLI::App& app, MetadataArguments& arguments, bool for_convert);
void declare(CLI::App& app, ModelArguments& arguments);
void declare(CLI::App& app, InputArguments& arguments);
void declare(CLI::App& app, RunArguments& arguments);
void declare(CLI::App& app, DrawingArguments& arguments);
void declare(CLI::App& app, OutputArguments& arguments);

/// Restricts an option to these words, and says so in the help.
void choices(CLI::Option* option, const std::vector<std::string>& words);
/// Restricts an option to a finite number, or a whole one, in [low, high].
void finite_between(CLI::Option* option, double low, double high);
void whole_between(CLI::Option* option, index_t low, index_t high);

}  // namespace vitsnna::cli
