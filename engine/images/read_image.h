// Image files into memory, as Pillow's open().convert("RGB") followed by exif_transpose() reads
// them.
#pragma once

#include <string>

#include "engine/images/image.h"

namespace vitsnna::engine {

/// A picture of more pixels is refused from its header, before memory for it is asked for.
inline constexpr index_t kMaxImagePixels = index_t{1} << 27;  // 134,217,728; 384 MiB of RGB

/// JPEG (grey, YCbCr, RGB, CMYK), PNG (every colour type and depth), WebP or BMP, told apart by
/// content. Grey is repeated, 16 bits lose the lower 8, an alpha channel is left out (not
/// composited), the EXIF orientation is applied. Throws Error naming the file and what was found:
/// missing, a directory, unreadable, empty, of another format, truncated, damaged, too large.
/// Nothing is written to standard error.
///
/// With `least_short_side` a JPEG comes reduced to the fewest eighths of its sides (1 to 6, or all
/// 8) that leave the short one no less than that: fewer pixels to keep and to crop from, without
/// aliasing. Files of other formats come as they are.
Image read_image(const std::string& path, index_t least_short_side = 0);

}  // namespace vitsnna::engine
