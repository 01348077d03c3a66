// The options of `pretrain`, and what of them config.json keeps.
#pragma once

#include <set>
#include <string>

#include "cli/training_options.h"
#include "train/dino/pretraining.h"
#include "train/run/run_config.h"

namespace vitsnna::cli {

struct PretrainArguments {
  std::string data, split, output;
  std::string model = "random";
  CheckpointArguments checkpoint;  ///< of `model`, where that is a file
  std::string architecture = "vit_small";
  index_t patch_size = 8;
  std::string global_size = "224x224", local_size = "96x96";
  std::string replay;  ///< failed-step-N.safetensors; empty: none
  std::string recipe = "dino";
  index_t knn_every = 0;  ///< epochs from one evaluation to the next; 0: none
  std::string knn_data, knn_size;
  KeepingArguments keeping{.checkpoint_every = 500, .log_every = 10};
  train::PretrainOptions options;
  RunArguments run;
};

void declare(CLI::App& app, PretrainArguments& arguments);
/// Gives the options of --recipe that the command line leaves out their values; then fills
/// `options` from the texts. Throws UsageError naming the option.
void resolve(const CLI::App& app, PretrainArguments& arguments);

/// Of the pictures that nearest neighbours are found among.
engine::Extent knn_size(const PretrainArguments& arguments);

/// The ViT that --arch and --patch-size name, for global crops.
model::VitConfig new_backbone(const PretrainArguments& arguments);

class NeighbourWatch;
/// Every option by its name, resolved, and digests of what is read; `model_sha256` of the file that
/// the run starts from, `neighbours` may be null.
train::RunConfig run_config(const PretrainArguments& arguments, const std::string& model_sha256,
                            const train::Dataset& dataset, const NeighbourWatch* neighbours);
/// Options that a resumed run may give anew: where data lie, how fast and how often.
const std::set<std::string>& pretrain_may_change();

}  // namespace vitsnna::cli
