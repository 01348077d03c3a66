#include "train/data/model_input.h"

#include <fmt/format.h>

#include "kernels/error.h"

namespace vitsnna::train {

void require_picture_channels(const std::string& model, const model::VitConfig& config) {
  if (config.channels != 3) {
    throw Error(fmt::format("{}: takes images of {} channel{}, pictures have 3", model,
                            config.channels, config.channels == 1 ? "" : "s"));
  }
}

void require_whole_patches(const std::string& what, engine::Extent size,
                           const model::VitConfig& config) {
  if (size.height % config.patch_size != 0 || size.width % config.patch_size != 0) {
    throw Error(fmt::format("{}: {}x{}, multiples of the model's patch size {} wanted", what,
                            size.height, size.width, config.patch_size));
  }
}

}  // namespace vitsnna::train
