// What a data set is, in 64 characters: by it a run that goes on notices another set, and ranks
// notice that they do not see the same files.
#pragma once

#include <string>

#include "train/data/dataset.h"

namespace vitsnna::train {

/// SHA-256 of the labels' names, of the ids in their order and of the labels. Neither where the set
/// lies nor what its image files hold is asked.
std::string digest_of(const Dataset& dataset);

}  // namespace vitsnna::train
