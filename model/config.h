// What a Vision Transformer is (read from its tensors) and what its file says about using it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::model {

using kernels::index_t;

/// Extents of one ViT (SPEC section 1), in the names of the papers.
struct VitConfig {
  index_t embed_dim = 0;            ///< d
  index_t depth = 0;                ///< L, blocks
  index_t num_heads = 0;            ///< H; divides embed_dim
  index_t patch_size = 0;           ///< p, square patches
  index_t channels = 3;             ///< planes of the picture
  index_t mlp_hidden = 0;           ///< width between fc1 and fc2
  index_t trained_grid_height = 0;  ///< patches that the position embedding was trained on
  index_t trained_grid_width = 0;
  index_t num_classes = 0;  ///< 0: a backbone without a head
  index_t head_blocks = 1;  ///< n: how many last blocks' CLS the head reads, concatenated
  float layer_norm_epsilon = 1e-6f;

  index_t head_dim() const { return embed_dim / num_heads; }
  index_t trained_patches() const { return trained_grid_height * trained_grid_width; }
  bool has_head() const { return num_classes > 0; }

  bool operator==(const VitConfig&) const = default;
};

/// How logits become probabilities: one yes or no a class, or one class of many.
enum class Activation : std::uint8_t { sigmoid, softmax };

/// What a checkpoint's string metadata says (SPEC section 7), with the defaults of section 9.
struct ModelMetadata {
  std::array<float, 3> mean = {0.485f, 0.456f, 0.406f};       ///< ImageNet's
  std::array<float, 3> deviation = {0.229f, 0.224f, 0.225f};  ///< `std` in the file
  std::optional<std::pair<index_t, index_t>> input_size;      ///< height, width
  std::optional<double> crop_pct;                             ///< in (0, 1]
  std::vector<std::string> labels;  ///< one a class, or empty: a class is then its index
  Activation activation = Activation::softmax;
  std::vector<float> thresholds;  ///< of the sigmoid's probability: one a class, or empty: 0.5
};

}  // namespace vitsnna::model
