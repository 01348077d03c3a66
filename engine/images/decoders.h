// One decoder a format, behind read_image(): bytes of a whole file to RGB, or an Error whose text
// read_image() puts the file's name in front of.
#pragma once

#include <cstdint>
#include <span>

#include "engine/images/image.h"

namespace vitsnna::engine {

using Bytes = std::span<const std::uint8_t>;

/// A picture as it lies in the file, and how it is to be turned: EXIF's 1 to 8, 1 for not at all.
struct DecodedImage {
  Image image;
  int orientation = 1;
};

/// Reduced, in the frequency domain, to the fewest eighths of its sides (1 to 6, or all 8) that
/// leave the short one at least `least_short_side`; 0: not reduced. The other formats have no such
/// shortcut.
DecodedImage decode_jpeg(Bytes file, index_t least_short_side);
DecodedImage decode_png(Bytes file);
DecodedImage decode_webp(Bytes file);
DecodedImage decode_bmp(Bytes file);

/// Throws where a header's sides are below 1 or their product is above kMaxImagePixels.
void check_header_size(index_t height, index_t width);

}  // namespace vitsnna::engine
