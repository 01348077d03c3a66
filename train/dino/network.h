// What DINO trains and what follows it: a backbone with the projection head of SPEC section 4.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/io/tensor_file.h"
#include "model/vit.h"
#include "train/dino/head.h"

namespace vitsnna::train {

/// A backbone and its head.
struct DinoNetwork {
  DinoNetwork(engine::Queue& queue, const model::VitConfig& config,
              const model::ModelMetadata& metadata, const DinoHeadConfig& head_config,
              const std::map<std::string, engine::HostTensor>& backbone_tensors,
              const std::map<std::string, engine::HostTensor>& head_tensors, DType precision,
              const model::WeightUse& use = {});
  void refresh(engine::Queue& queue);

  model::Vit backbone;
  DinoHead head;
};

/// A head's initial weights, drawn from `seed`: normal .02 for the layers, zero biases, unit
/// lengths, and for weight_v what an ordinary linear layer is drawn from, uniform within
/// 1 / sqrt(bottleneck) of 0.
std::map<std::string, engine::HostTensor> random_head(const DinoHeadConfig& config,
                                                      std::uint64_t seed);

}  // namespace vitsnna::train
