// The data sets of a training or an evaluation: opened, and described before time is spent on them.
#pragma once

#include <string>
#include <vector>

#include "cli/console.h"
#include "train/data/dataset.h"

namespace vitsnna::cli {

/// `split` of the set; where that is empty, `preferred`, or all of a set without splits. Throws
/// Error naming the file, the split that the set does not have, or `option`, which has to name one.
train::Dataset open_split(const std::string& data, const std::string& split,
                          const std::string& preferred, const char* option = "--split");

/// Throws Error naming the set where it has no labels.
void require_labels(const train::Dataset& set);

/// Images, sizes, labels and overlaps, as notes; nothing is looked at where nobody would read them.
void print_summary(const Console& console, const std::vector<const train::Dataset*>& sets);

}  // namespace vitsnna::cli
