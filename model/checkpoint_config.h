// A ViT's configuration, read from the shapes of its tensors (SPEC section 7).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/io/tensor_file.h"
#include "model/checkpoint_metadata.h"
#include "model/config.h"

namespace vitsnna::model {

using TensorMap = std::map<std::string, engine::HostTensor>;

/// Width, patch and channels from patch_embed, depth from the block numbers, the trained grid from
/// pos_embed (metadata's `trained_grid`, else that of `input_size` where it has as many patches,
/// else square), classes and n from the head. Heads: `heads`, else the metadata's, else width / 64.
/// Throws Error naming the file and the tensor that is missing or of an impossible shape, and heads
/// that do not divide the width.
VitConfig infer_config(const std::string& path, const TensorMap& tensors, const StringMap& metadata,
                       std::optional<index_t> heads);

/// Throws Error naming the file and the first tensor that is missing, extra, of another shape than
/// canonical_shapes(config) wants, or not of a floating-point type.
void check_tensors(const std::string& path, const TensorMap& tensors, const VitConfig& config);

}  // namespace vitsnna::model
