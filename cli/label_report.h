// How a model's decisions compare with the truth, as `finetune` and `evaluate` print and write it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/evaluation/metrics.h"

namespace vitsnna::cli {

struct LabelTable {
  std::vector<std::string> names;  ///< of the labels
  std::vector<float> thresholds;   ///< one a label
  train::LabelReport model;
  train::LabelReport constant;  ///< each label always at its more frequent value
};

/// Scores `given`; no thresholds are .5 each.
LabelTable score_labels(const std::vector<std::string>& names, std::vector<float> thresholds,
                        const train::LabelledProbabilities& given);

/// A line a label and one of the means, under a line of titles.
std::vector<std::string> text_of(const LabelTable& table);
/// {"labels": [{name, threshold, items, positives, precision, recall, f1, accuracy, auc,
/// constant_accuracy, ...}], "mean": {...}}; what is not a number is null.
nlohmann::ordered_json json_of(const LabelTable& table);

}  // namespace vitsnna::cli
