// What sets the tensors of a ViT apart when all of it is fine-tuned.
#pragma once

#include "train/optimizer_state.h"

namespace vitsnna::train {

/// The depth of a parameter: 0 for what makes tokens (patch embedding, CLS, positions), 1 + N for
/// block N, 1 + depth for the final norm and the head.
index_t layer_of(const std::string& parameter, index_t depth);

/// default_rule() with the learning rate scaled by decay^(1 + depth - layer): the head learns at
/// the full rate, each layer below at `decay` times that of the one above.
TensorRules layer_wise_rules(index_t depth, double decay);

}  // namespace vitsnna::train
