// The string metadata of a checkpoint: what SPEC section 7 says may stand there, read and written.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "model/config.h"

namespace vitsnna::model {

using StringMap = std::map<std::string, std::string>;

/// mean, std, input_size, crop_pct, labels, activation and thresholds; what is absent keeps its
/// default: labels of four classes are the four actions, their activation is sigmoid, else softmax
/// (SPEC section 9). Other keys are ignored. Throws Error naming the file, the key and its value
/// where it is malformed.
ModelMetadata parse_metadata(const std::string& path, const StringMap& text, index_t num_classes);

/// `heads`, where present: at least 1.
std::optional<index_t> parse_heads(const std::string& path, const StringMap& text);

/// `input_size`, where present: height and width, at least 1 each.
std::optional<std::pair<index_t, index_t>> parse_input_size(const std::string& path,
                                                            const StringMap& text);

/// `trained_grid`, where present: rows and columns of patches, at least 1 each. Says what
/// pos_embed's length alone does not.
std::optional<std::pair<index_t, index_t>> parse_trained_grid(const std::string& path,
                                                              const StringMap& text);

/// What parse_metadata, parse_heads and parse_trained_grid read back. Labels become a JSON array.
StringMap metadata_text(const VitConfig& config, const ModelMetadata& metadata);

}  // namespace vitsnna::model
