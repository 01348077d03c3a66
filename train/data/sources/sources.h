// Opens a data set, whatever its layout. SPEC section 6.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "train/data/dataset.h"

namespace vitsnna::train {

/// `what` is a path, whose layout is found out from what lies there, or `kind:path`:
///   folder    every image below the folder, in the order of their paths, without labels
///   bdd100k   <path>/images/100k/<split>/*.jpg, without labels
///   bdd-oia   <path>/data/*.jpg and <path>/<split>_25k_images_actions.json, annotations matched by
///             id; images annotated as confusing (a fifth number that is not 0) are dropped
///   snna      <path>/<split>/*.jpg and <path>/<split>.json, {file name: four numbers}
///   csv       a file (.csv): a header `path,label,...`, paths from the file's folder, values from
///             0 to 1
/// `split` is one of a layout that has splits; empty takes all of them, in the order train, val,
/// test. A labelled image must exist. Throws Error naming the file, and the line or the entry.
Dataset open_dataset(std::string_view what, std::string_view split = {});

/// The splits that `what` has, of train, val and test; empty where its layout has none.
std::vector<std::string> splits_of(std::string_view what);

/// forward, stop_slow, left, right.
const std::vector<std::string>& action_names();

}  // namespace vitsnna::train
