// PNG files, complete or not there at all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "explain/image.h"

namespace vitsnna::explain {

/// A whole PNG file in memory; `path` names the picture in errors.
std::vector<std::uint8_t> encode_png(const std::string& path, const Image& image);

/// Encodes in memory, writes under a temporary name, renames. Throws Error naming the path.
void write_png(const std::string& path, const Image& image);

}  // namespace vitsnna::explain
