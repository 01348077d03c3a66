// A Vision Transformer on a device: its parameters, prepared for products in one precision, and
// the forward pass of SPEC section 1 with the masks of section 3.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "engine/queue.h"
#include "engine/tensor.h"
#include "model/config.h"
#include "model/parameters.h"

namespace vitsnna::model {

using engine::DType;

/// A ViT's weights on a queue's device. Every pass takes it by const reference and keeps its own
/// state in an arena; nothing but an optimiser changes it once it is built.
class Vit {
 public:
  /// `tensors` by canonical name (model/parameters.h), fp32-convertible. `precision` is the type of
  /// the products' operands; master weights, statistics, softmax and sums stay fp32. Without
  /// `use.backward` the model runs forward only, in less memory.
  Vit(engine::Queue& queue, const VitConfig& config, const ModelMetadata& metadata,
      const std::map<std::string, engine::HostTensor>& tensors, DType precision,
      const WeightUse& use = {});

  /// Weights drawn from `seed` as DINO initialises them (truncated normal .02, zero biases).
  static Vit random(engine::Queue& queue, const VitConfig& config, const ModelMetadata& metadata,
                    std::uint64_t seed, DType precision);

  const VitConfig& config() const { return config_; }
  const ModelMetadata& metadata() const { return metadata_; }
  DType precision() const { return precision_; }
  const engine::Device& device() const { return device_; }  ///< where the weights are
  bool runs_backward() const { return runs_backward_; }
  const Parameters& parameters() const { return parameters_; }
  /// Prepares the products' operands again after an optimiser has changed the parameters.
  void refresh(engine::Queue& queue) { weights_.prepare(queue); }
  const VitWeights& weights() const { return weights_; }
  /// Bytes of device memory that the weights take, prepared copies included.
  index_t weight_bytes() const;

 private:
  Vit(engine::Queue& queue, const VitConfig& config, const ModelMetadata& metadata, DType precision,
      const WeightUse& use);

  VitConfig config_;
  ModelMetadata metadata_;
  DType precision_;
  bool runs_backward_;
  engine::Device device_;
  Parameters parameters_;
  VitWeights weights_;
};

}  // namespace vitsnna::model
