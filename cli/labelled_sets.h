// What `finetune` learns from and what it validates on: never the same image.
#pragma once

#include "cli/finetune_options.h"
#include "train/data/dataset.h"

namespace vitsnna::cli {

struct LabelledSets {
  train::Dataset train, validation;
};

/// Throws Error naming the option and the set where a split is missing or not named, where a set
/// has no labels, and where an image is in both, by whatever path.
LabelledSets open_labelled_sets(const FinetuneArguments& arguments);

/// Negatives over positives, by label. Throws Error where a label has none of either.
std::vector<float> balanced_weights(const train::Dataset& set);

}  // namespace vitsnna::cli
