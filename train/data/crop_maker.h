// A batch's pictures to its crops on the device: one copy up, one augmentation op a crop size.
#pragma once

#include <array>
#include <vector>

#include "engine/queue.h"
#include "engine/tensor.h"
#include "kernels/augment.h"
#include "train/augment/recipe.h"
#include "train/data/staging.h"

namespace vitsnna::train {

using engine::Image;

/// The crops of one size, all images of one crop before the next crop's.
struct CropGroup {
  Extent size;
  std::vector<std::size_t> crops;  ///< which of the recipes
  engine::Tensor pixels;           ///< (crops * images, 3, height, width), normalised
};

/// What the pixels are brought to: (value / 255 - mean) / deviation.
struct PixelFormat {
  std::array<float, 3> mean{.485f, .456f, .406f}, deviation{.229f, .224f, .225f};
  kernels::DType dtype = kernels::DType::f32;
};

class CropMaker {
 public:
  /// Crops of at most `batch` images, in `sets` memories by turns. Its queue is its own, so that it
  /// may run beside another's work, and takes scratch memory from nobody. Throws Error where a crop
  /// has no pixels.
  CropMaker(const engine::Queue& like, const std::vector<CropRecipe>& recipes, index_t batch,
            int sets, const PixelFormat& format);

  /// Without pixels, in the order in which the recipes name the sizes.
  const std::vector<CropGroup>& groups() const { return groups_; }

  /// `crops` are by group, of every image in turn; AugmentCrop::image is filled in here. The result
  /// is there when this returns, and stays until the call after `sets - 1` more. Any thread may
  /// call, one at a time.
  std::vector<CropGroup> make(const std::vector<const Image*>& images,
                              std::vector<std::vector<kernels::AugmentCrop>>& crops);

 private:
  void stage(const std::vector<const Image*>& images,
             std::vector<std::vector<kernels::AugmentCrop>>& crops);
  void reserve_scratch(index_t bytes);

  engine::Queue queue_;
  PixelFormat format_;
  std::vector<CropGroup> groups_;
  std::vector<std::vector<DeviceMemory>> outputs_;  ///< by set and group
  HostMemory staging_;
  DeviceMemory uploaded_;
  index_t staged_ = 0, pictures_ = 0;  ///< bytes: all of them, and those before the first crop
  std::size_t next_ = 0;               ///< set
};

}  // namespace vitsnna::train
