// The size of a picture without its pixels: what a survey of a million files can afford.
#pragma once

#include <string>

#include "engine/images/image.h"

namespace vitsnna::engine {

/// Of a JPEG, PNG, WebP or BMP, as its header says, and turned upright as read_image() turns it
/// (but for a PNG whose EXIF orientation stands behind its pixels). Throws Error naming the file.
Extent image_extent(const std::string& path);

}  // namespace vitsnna::engine
