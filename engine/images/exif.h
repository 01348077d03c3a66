// The one EXIF entry that changes what a photograph shows: its orientation.
#pragma once

#include <cstdint>
#include <span>

#include "engine/images/image.h"

namespace vitsnna::engine {

/// Of a TIFF structure ("II*", "MM*"; a leading "Exif\0\0" is passed over), tag 0x0112 of its first
/// directory. 1, upright, where it is missing, malformed, or out of 1 to 8.
int exif_orientation(std::span<const std::uint8_t> tiff);

/// The picture turned upright: 2 mirrored, 3 upside down, 4 both, 5 to 8 the same after a
/// transpose.
Image apply_orientation(Image image, int orientation);

}  // namespace vitsnna::engine
