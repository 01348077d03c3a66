// A set of images, with labels or without: what every reader of a layout returns.
#pragma once

#include <string>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

struct Sample {
  std::string path;  ///< of the image file
  std::string id;    ///< what the layout calls it: a file's name below the set's folder
};

struct Dataset {
  std::string kind;   ///< folder, bdd100k, bdd-oia, snna or csv
  std::string path;   ///< what was opened
  std::string split;  ///< train, val or test; empty where the layout has none
  std::vector<Sample> samples;
  std::vector<std::string> label_names;  ///< empty: no labels
  std::vector<float> labels;             ///< (samples, label_names)
  std::vector<std::string> notes;        ///< what was left out, one sentence each

  index_t size() const { return static_cast<index_t>(samples.size()); }
  index_t label_count() const { return static_cast<index_t>(label_names.size()); }
  const float* labels_of(index_t index) const { return labels.data() + index * label_count(); }
};

/// Throws Error naming the set unless some label is positive in one of its images and negative in
/// another: else no model is better than another by the area under the curve.
void require_both_values(const Dataset& set);

}  // namespace vitsnna::train
