// What makes a loader read image files: the decoder, from the one library that knows OpenCV.
#pragma once

#include "train/data/image_cache.h"

namespace vitsnna::train {

/// engine::read_image: JPEG, PNG, WebP and BMP as 8-bit RGB, turned upright. Any number of threads
/// may use it at once.
ImageReader image_files();

}  // namespace vitsnna::train
