// What a model decided about an image, for people and for JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/session.h"

namespace vitsnna::cli {

/// The classes to tell the user about, most probable first for softmax (at most five); for sigmoid
/// those at or above their threshold, in the model's order: it may be none.
std::vector<index_t> reported_classes(std::span<const float> probabilities,
                                      const model::ModelMetadata& metadata);

/// {"logits", "probabilities", "predicted": [{"index", "label", "probability"}]}.
nlohmann::ordered_json prediction_json(std::span<const float> logits,
                                       std::span<const float> probabilities,
                                       const Session& session);

}  // namespace vitsnna::cli
