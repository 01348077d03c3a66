// The reader of image files.
#include "train/data/image_files.h"

#include "engine/images/read_image.h"

namespace vitsnna::train {

ImageReader image_files() {
  return [](const std::string& path, index_t least_short_side) {
    return engine::read_image(path, least_short_side);
  };
}

}  // namespace vitsnna::train
