// A small ViT with weights strong enough that its attention is neither uniform nor one-hot, made
// from a seed: what tests that stand on their own run on.
#pragma once

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "engine/queue.h"
#include "model/vit.h"

namespace vitsnna::test {

inline model::VitConfig small_config() {
  model::VitConfig config;
  config.embed_dim = 64;
  config.depth = 4;
  config.num_heads = 2;
  config.patch_size = 8;
  config.mlp_hidden = 128;
  config.trained_grid_height = 6;
  config.trained_grid_width = 6;
  config.num_classes = 4;
  return config;
}

inline model::ModelMetadata small_metadata() {
  model::ModelMetadata metadata;
  metadata.activation = model::Activation::sigmoid;
  metadata.labels = {"forward", "stop_slow", "left", "right"};
  return metadata;
}

inline std::map<std::string, engine::HostTensor> small_tensors(const model::VitConfig& config,
                                                               unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::map<std::string, engine::HostTensor> tensors;
  const model::ParameterTable table(config);
  for (const auto& entry : table.entries()) {
    const bool is_norm_weight =
        entry.name.find("norm") != std::string::npos && entry.name.ends_with("weight");
    const auto rows = entry.shape.empty() ? 1 : entry.shape[0];
    float scale = .1f;
    if (entry.name == "cls_token" || entry.name == "pos_embed") {
      scale = .6f;
    } else if (entry.shape.size() > 1) {
      scale = 1.6f / std::sqrt(static_cast<float>(entry.elements / rows));
    }
    std::vector<float> values(static_cast<std::size_t>(entry.elements));
    for (float& value : values) value = scale * normal(generator) + (is_norm_weight ? 1.f : 0.f);
    tensors.emplace(entry.name, engine::HostTensor::from_floats(entry.shape, values));
  }
  return tensors;
}

inline std::vector<float> random_image(kernels::index_t height, kernels::index_t width,
                                       unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> pixels(static_cast<std::size_t>(3 * height * width));
  for (float& pixel : pixels) pixel = normal(generator);
  return pixels;
}

}  // namespace vitsnna::test
