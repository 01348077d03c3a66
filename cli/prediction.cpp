// Chooses the classes of a prediction that are worth a line.
#include "cli/prediction.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <numeric>

namespace vitsnna::cli {

std::vector<index_t> reported_classes(std::span<const float> probabilities,
                                      const model::ModelMetadata& metadata) {
  std::vector<index_t> classes(probabilities.size());
  std::iota(classes.begin(), classes.end(), index_t{0});
  const auto probability = [&](index_t index) {
    return probabilities[static_cast<std::size_t>(index)];
  };
  if (metadata.activation == model::Activation::sigmoid) {
    std::erase_if(classes, [&](index_t index) {
      const auto position = static_cast<std::size_t>(index);
      const float threshold =
          position < metadata.thresholds.size() ? metadata.thresholds[position] : .5f;
      return !(probability(index) >= threshold);
    });
    return classes;
  }
  constexpr std::size_t kTop = 5;
  std::stable_sort(classes.begin(), classes.end(),
                   [&](index_t a, index_t b) { return probability(a) > probability(b); });
  classes.resize(std::min(classes.size(), kTop));
  return classes;
}

nlohmann::ordered_json prediction_json(std::span<const float> logits,
                                       std::span<const float> probabilities,
                                       const Session& session) {
  nlohmann::ordered_json json;
  json["logits"] = std::vector<float>(logits.begin(), logits.end());
  json["probabilities"] = std::vector<float>(probabilities.begin(), probabilities.end());
  json["predicted"] = nlohmann::ordered_json::array();
  for (const index_t index : reported_classes(probabilities, session.metadata())) {
    json["predicted"].push_back({{"index", index},
                                 {"label", session.names().name(index)},
                                 {"probability", probabilities[static_cast<std::size_t>(index)]}});
  }
  return json;
}

}  // namespace vitsnna::cli
