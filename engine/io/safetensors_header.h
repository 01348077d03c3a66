// The JSON header of a safetensors file, as entries whose structure (not yet their extents) is
// checked.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/tensor_file.h"

namespace vitsnna::engine {

struct SafetensorsEntry {
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;  ///< byte offsets behind the header, end exclusive
  std::int64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// `path` is for messages.
SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view json);

/// "F32" and its like; nullptr where the format has no such type.
const char* safetensors_type(ElementType type);

}  // namespace vitsnna::engine
