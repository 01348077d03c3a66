// From an image file to the normalised tensor that a model takes, through the resample kernel.
#pragma once

#include <string>
#include <vector>

#include "explain/image.h"
#include "explain/input_geometry.h"
#include "kernels/backend.h"
#include "model/config.h"

namespace vitsnna::explain {

struct LoadedInput {
  Extent original;            ///< of the file, after its EXIF orientation
  InputGeometry geometry;     ///< geometry.note() is to be shown to the user
  std::vector<float> tensor;  ///< (3, H, W), normalised; H x W is geometry.crop
  Image picture;              ///< the same H x W pixels before normalisation: overlays go on it
};

/// Resizes, crops and normalises `image`; `subject` names it in errors. Runs on any backend: the
/// result is in host memory.
LoadedInput prepare_input(const std::string& subject, const Image& image,
                          const SizeOptions& options, const model::VitConfig& config,
                          const model::ModelMetadata& metadata, const kernels::Backend& backend,
                          kernels::Queue& queue);

/// read_image() and prepare_input().
LoadedInput load_input(const std::string& path, const SizeOptions& options,
                       const model::VitConfig& config, const model::ModelMetadata& metadata,
                       const kernels::Backend& backend, kernels::Queue& queue);

/// An RGB picture for an input that came as a normalised (3, H, W) tensor: value * std + mean,
/// clipped to [0, 1]. One channel is repeated; any other count gives the first three.
Image picture_of_tensor(const float* tensor, index_t channels, Extent extent,
                        const model::ModelMetadata& metadata);

}  // namespace vitsnna::explain
