// From logits to probabilities and to the labels that count as predicted. SPEC section 9.
#include <algorithm>
#include <cmath>

#include "explain/explainer.h"

namespace vitsnna::explain {

std::vector<float> probabilities(std::span<const float> logits, model::Activation activation) {
  std::vector<float> result(logits.size());
  if (activation == model::Activation::sigmoid) {
    std::transform(logits.begin(), logits.end(), result.begin(), [](float logit) {
      return static_cast<float>(1. / (1. + std::exp(-static_cast<double>(logit))));
    });
    return result;
  }
  if (logits.empty()) return result;
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - highest);
  std::transform(logits.begin(), logits.end(), result.begin(),
                 [&](float logit) { return static_cast<float>(std::exp(logit - highest) / sum); });
  return result;
}

std::vector<index_t> predicted_labels(std::span<const float> logits,
                                      const model::ModelMetadata& metadata) {
  if (logits.empty()) return {};
  std::vector<index_t> labels;
  if (metadata.activation == model::Activation::sigmoid) {
    const std::vector<float> probability = probabilities(logits, metadata.activation);
    for (std::size_t label = 0; label < probability.size(); ++label) {
      const float threshold = metadata.thresholds.empty() ? .5f : metadata.thresholds.at(label);
      if (probability[label] >= threshold) labels.push_back(static_cast<index_t>(label));
    }
  }
  if (labels.empty()) {
    labels.push_back(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  return labels;
}

}  // namespace vitsnna::explain
