// Building a ViT's weights from tensors or from a seed.
#include "model/vit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/error.h"
#include "model/initial_values.h"

namespace vitsnna::model {

namespace {

/// N(0, .02^2) cut at two absolute units, as DINO's trunc_normal_ is: with deviation .02 the cut is
/// a hundred deviations away and never taken.
constexpr float kInitialDeviation = .02f;

void check(const VitConfig& config) {
  const auto positive = [](const char* what, index_t value) {
    if (value < 1) {
      throw Error(std::string("model: ") + what + " is " + std::to_string(value) +
                  ", at least 1 wanted");
    }
  };
  positive("embed_dim", config.embed_dim);
  positive("depth", config.depth);
  positive("num_heads", config.num_heads);
  positive("patch_size", config.patch_size);
  positive("mlp_hidden", config.mlp_hidden);
  positive("trained grid", config.trained_patches());
  if (config.embed_dim % config.num_heads != 0) {
    throw Error("heads: " + std::to_string(config.num_heads) + " do not divide the width " +
                std::to_string(config.embed_dim));
  }
  if (config.head_blocks < 1 || config.head_blocks > config.depth) {
    throw Error("head: reads the last " + std::to_string(config.head_blocks) +
                " blocks, the model has " + std::to_string(config.depth));
  }
}

}  // namespace

Vit::Vit(engine::Queue& queue, const VitConfig& config, const ModelMetadata& metadata,
         DType precision, const WeightUse& use)
    : config_((check(config), config)),
      metadata_(metadata),
      precision_(precision),
      runs_backward_(use.backward),
      device_(queue.device()),
      parameters_(queue, config),
      weights_(queue, config, parameters_, precision, use) {}

Vit::Vit(engine::Queue& queue, const VitConfig& config, const ModelMetadata& metadata,
         const std::map<std::string, engine::HostTensor>& tensors, DType precision,
         const WeightUse& use)
    : Vit(queue, config, metadata, precision, use) {
  std::vector<float> values;
  for (const ParameterTable::Entry& entry : parameters_.table().entries()) {
    const auto found = tensors.find(entry.name);
    if (found == tensors.end()) throw Error("tensor " + entry.name + ": missing");
    const engine::HostTensor& tensor = found->second;
    if (tensor.elements() != entry.elements) {
      throw Error("tensor " + entry.name + ": " + std::to_string(tensor.elements()) +
                  " elements found, " + std::to_string(entry.elements) + " wanted");
    }
    values.resize(static_cast<std::size_t>(entry.elements));
    tensor.copy_to(values.data());
    queue.upload(parameters_.data() + entry.offset, values.data(), entry.elements * 4);
    queue.synchronize();
  }
  weights_.prepare(queue);
}

Vit Vit::random(engine::Queue& queue, const VitConfig& config, const ModelMetadata& metadata,
                std::uint64_t seed, DType precision) {
  Vit vit(queue, config, metadata, precision, {});
  std::uint32_t position = 0;
  std::vector<float> values;
  for (const ParameterTable::Entry& entry : vit.parameters_.table().entries()) {
    values.assign(static_cast<std::size_t>(entry.elements), 0.f);
    const bool is_norm = entry.name.find("norm") != std::string::npos;
    if (is_norm && entry.name.ends_with("weight")) {
      std::fill(values.begin(), values.end(), 1.f);
    } else if (entry.name.starts_with("patch_embed")) {
      const auto fan_in =
          static_cast<float>(config.channels * config.patch_size * config.patch_size);
      fill_uniform(values, 1.f / std::sqrt(fan_in), seed, position);
    } else if (!entry.name.ends_with("bias")) {
      fill_normal(values, kInitialDeviation, seed, position);
    }
    queue.upload(vit.parameters_.data() + entry.offset, values.data(), entry.elements * 4);
    queue.synchronize();
    ++position;
  }
  vit.weights_.prepare(queue);
  return vit;
}

index_t Vit::weight_bytes() const { return parameters_.bytes() + weights_.bytes(); }

}  // namespace vitsnna::model
