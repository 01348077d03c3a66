// A small model whose every element has its own value, for tests that need no shared file.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "model/checkpoint_names.h"
#include "model/config.h"

namespace vitsnna::test {

/// Two blocks of width 128, two heads, patches of 4, a trained grid of 3x3, no head.
inline model::VitConfig synthetic_config() {
  model::VitConfig config;
  config.embed_dim = 128;
  config.depth = 2;
  config.num_heads = 2;
  config.patch_size = 4;
  config.mlp_hidden = 256;
  config.trained_grid_height = 3;
  config.trained_grid_width = 3;
  return config;
}

/// Element i of the model's k-th tensor (by name) is a small number made of both: exact in fp32.
inline std::map<std::string, engine::HostTensor> synthetic_tensors(const model::VitConfig& config) {
  std::map<std::string, engine::HostTensor> tensors;
  float first = 0;
  for (const auto& [name, shape] : model::canonical_shapes(config)) {
    std::size_t count = 1;
    for (const model::index_t extent : shape) count *= static_cast<std::size_t>(extent);
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) {
      values[i] = first + static_cast<float>(i % 1000) * 0x1p-12f;
    }
    tensors.emplace(name, engine::HostTensor::from_floats(shape, values));
    first += 1;
  }
  return tensors;
}

}  // namespace vitsnna::test
