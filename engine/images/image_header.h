// The size of a picture without its pixels: what a survey of a million files can afford.
#pragma once

#include <string>

#include "engine/images/image.h"

namespace vitsnna::engine {

/// Of a JPEG, PNG, WebP or BMP, as its header says and its EXIF orientation is not asked. Throws
/// Error naming the file.
Extent image_extent(const std::string& path);

}  // namespace vitsnna::engine
