// Layers by the names of their parameters.
#include "train/supervised/rules.h"

#include <cmath>

namespace vitsnna::train {

index_t layer_of(const std::string& parameter, index_t depth) {
  if (parameter.starts_with("blocks.")) return 1 + std::stoll(parameter.substr(7));
  return parameter.starts_with("norm.") || parameter.starts_with("head.") ? 1 + depth : 0;
}

TensorRules layer_wise_rules(index_t depth, double decay) {
  return [depth, decay](const model::ParameterTable::Entry& entry) {
    TensorRule rule = default_rule(entry);
    const auto below = static_cast<double>(1 + depth - layer_of(entry.name, depth));
    rule.learning_rate_scale = static_cast<float>(std::pow(decay, below));
    return rule;
  };
}

}  // namespace vitsnna::train
