// What a model must be to take the crops of a data set's pictures.
#pragma once

#include <string>

#include "engine/images/image.h"
#include "model/config.h"

namespace vitsnna::train {

/// Throws Error naming `model`, the file, unless it takes three channels, as pictures have.
void require_picture_channels(const std::string& model, const model::VitConfig& config);

/// Throws Error naming `what`, an option, unless the model's patches divide the size.
void require_whole_patches(const std::string& what, engine::Extent size,
                           const model::VitConfig& config);

}  // namespace vitsnna::train
