// PNG files, complete or not there at all.
#pragma once

#include <string>

#include "explain/image.h"

namespace vitsnna::explain {

/// Encodes in memory, writes under a temporary name, renames. Throws Error naming the path.
void write_png(const std::string& path, const Image& image);

}  // namespace vitsnna::explain
