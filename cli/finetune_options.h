// The options of `finetune`, and what of them config.json keeps.
#pragma once

#include <set>
#include <string>

#include "cli/training_options.h"
#include "train/data/dataset.h"
#include "train/run/run_config.h"
#include "train/supervised/options.h"

namespace vitsnna::cli {

struct FinetuneArguments {
  std::string data, split, validation_data, validation_split, output, model;
  CheckpointArguments checkpoint;
  std::string recipe;  ///< "" or "paper"
  std::string size = "360x640";
  index_t blocks = 0;  ///< 0: not given
  std::string optimizer = "sgd";
  std::string positive_weights = "none";
  bool tune_thresholds = false;
  KeepingArguments keeping;
  train::FinetuneOptions options;
  RunArguments run;
};

void declare(CLI::App& app, FinetuneArguments& arguments);
/// Fills `options` from the texts. Throws UsageError naming the option that is malformed, or that
/// nothing would come of.
void resolve(const CLI::App& app, FinetuneArguments& arguments);
/// What the model and the set to learn from decide: --blocks, --positive-weights.
void resolve_with(const model::Checkpoint& model, const train::Dataset& set,
                  FinetuneArguments& arguments);

struct LabelledSets;
/// Every option by its name, resolved, and digests of what is read; `model_sha256` of the file that
/// the run starts from.
train::RunConfig run_config(const FinetuneArguments& arguments, const std::string& model_sha256,
                            const LabelledSets& sets);
/// Options that a resumed run may give anew: where data lie, how fast and how often.
const std::set<std::string>& finetune_may_change();

}  // namespace vitsnna::cli
