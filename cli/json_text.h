// JSON as text: whatever bytes a file name has, the text is valid UTF-8.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vitsnna::cli {

/// On one line, or indented by `indent` spaces; ends with a newline.
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace vitsnna::cli
