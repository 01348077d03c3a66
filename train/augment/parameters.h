// The random parameters of one crop: a pure function of (seed, image, epoch, crop), and of the size
// of the picture that the crop is taken from.
#pragma once

#include <cstdint>

#include "kernels/augment.h"
#include "train/augment/recipe.h"

namespace vitsnna::train {

/// Philox counters are (draw + 64 crop, epoch, image, RandomStream::augmentation), the key is the
/// seed. Each decision has words of its own, so that a probability that changes moves nothing else.
struct CropKey {
  std::uint64_t seed = 0;
  std::uint32_t image = 0;  ///< index in the data set
  std::uint32_t epoch = 0;
  std::uint32_t crop = 0;
};

/// Of a picture of extent `picture` that begins at AugmentCrop::image = 0.
kernels::AugmentCrop draw_crop(const CropRecipe& recipe, Extent picture, const CropKey& key);

}  // namespace vitsnna::train
