// The table as text and as JSON.
#include "cli/label_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace vitsnna::cli {
namespace {

using nlohmann::ordered_json;

std::string number(double value) { return std::isnan(value) ? "-" : fmt::format("{:.4f}", value); }

ordered_json json_number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json();
}

}  // namespace

LabelTable score_labels(const std::vector<std::string>& names, std::vector<float> thresholds,
                        const train::LabelledProbabilities& given) {
  if (thresholds.empty()) thresholds.assign(names.size(), .5f);
  LabelTable table;
  table.names = names;
  table.model = train::score(given, thresholds);
  table.constant = train::score_constant(given);
  table.thresholds = std::move(thresholds);
  return table;
}

std::vector<std::string> text_of(const LabelTable& table) {
  std::size_t width = 5;
  for (const std::string& name : table.names) width = std::max(width, name.size());
  const auto line = [&](const auto&... cells) {
    return fmt::format("{:<{}}  {:>9}  {:>9}  {:>9}  {:>7}  {:>7}  {:>7}  {:>8}  {:>17}", cells...);
  };
  std::vector<std::string> lines = {line("label", width, "threshold", "positives", "precision",
                                         "recall", "F1", "AUC", "accuracy", "constant accuracy")};
  for (std::size_t k = 0; k < table.names.size(); ++k) {
    const train::LabelScores& scores = table.model.labels[k];
    lines.push_back(line(table.names[k], width, number(static_cast<double>(table.thresholds[k])),
                         scores.positives, number(scores.precision), number(scores.recall),
                         number(scores.f1), number(scores.auc), number(scores.accuracy),
                         number(table.constant.labels[k].accuracy)));
  }
  lines.push_back(line("mean", width, "", "", "", "", number(table.model.mean_f1),
                       number(table.model.mean_auc), number(table.model.mean_accuracy),
                       number(table.constant.mean_accuracy)));
  lines.push_back(fmt::format("{} images; the constant predictor's mean F1 is {}",
                              table.model.labels.empty() ? 0 : table.model.labels.front().items,
                              number(table.constant.mean_f1)));
  return lines;
}

ordered_json json_of(const LabelTable& table) {
  ordered_json labels = ordered_json::array();
  for (std::size_t k = 0; k < table.names.size(); ++k) {
    const train::LabelScores &scores = table.model.labels[k], &constant = table.constant.labels[k];
    labels.push_back({{"name", table.names[k]},
                      {"threshold", table.thresholds[k]},
                      {"items", scores.items},
                      {"positives", scores.positives},
                      {"precision", scores.precision},
                      {"recall", scores.recall},
                      {"f1", scores.f1},
                      {"auc", json_number(scores.auc)},
                      {"accuracy", scores.accuracy},
                      {"constant_f1", constant.f1},
                      {"constant_accuracy", constant.accuracy}});
  }
  return {{"labels", labels},
          {"mean",
           {{"f1", table.model.mean_f1},
            {"auc", json_number(table.model.mean_auc)},
            {"accuracy", table.model.mean_accuracy},
            {"constant_f1", table.constant.mean_f1},
            {"constant_accuracy", table.constant.mean_accuracy}}}};
}

}  // namespace vitsnna::cli
