#include "train/dino/network.h"

#include <cmath>
#include <vector>

#include "kernels/error.h"
#include "model/initial_values.h"

namespace vitsnna::train {
namespace {

void upload(engine::Queue& queue, const model::Parameters& parameters,
            const std::map<std::string, engine::HostTensor>& tensors) {
  for (const model::ParameterTable::Entry& entry : parameters.table().entries()) {
    const auto found = tensors.find(entry.name);
    if (found == tensors.end()) throw Error("DINO head: tensor " + entry.name + " is missing");
    if (found->second.elements() != entry.elements) {
      throw Error("DINO head: tensor " + entry.name + " has " +
                  std::to_string(found->second.elements()) + " elements, " +
                  std::to_string(entry.elements) + " wanted");
    }
    const std::vector<float> values = found->second.to_floats();
    queue.upload(parameters.data() + entry.offset, values.data(), entry.elements * 4);
    queue.synchronize();
  }
}

const model::VitConfig& headless(const model::VitConfig& config) {
  if (config.has_head() || config.head_blocks != 1) {
    throw Error("DINO: the backbone has a head of " + std::to_string(config.num_classes) +
                " classes over " + std::to_string(config.head_blocks) +
                " blocks, one without a head is wanted");
  }
  return config;
}

}  // namespace

std::map<std::string, engine::HostTensor> random_head(const DinoHeadConfig& config,
                                                      std::uint64_t seed) {
  std::map<std::string, engine::HostTensor> tensors;
  std::uint32_t position = 1u << 16;  // past the backbone's tensors
  const model::ParameterTable table = head_table(config);
  for (const model::ParameterTable::Entry& entry : table.entries()) {
    std::vector<float> values(static_cast<std::size_t>(entry.elements), 0.f);
    if (entry.name == "last_layer.weight_g") {
      values.assign(values.size(), 1.f);
    } else if (entry.name == "last_layer.weight_v") {
      // Only the direction of its rows reaches the logits, but their length divides their gradient
      // while AdamW moves every number by as much: it sets how fast the directions turn.
      const float bound = 1.f / std::sqrt(static_cast<float>(config.bottleneck));
      model::fill_uniform(values, bound, seed, position);
    } else if (!entry.name.ends_with(".bias")) {
      model::fill_normal(values, .02f, seed, position);
    }
    ++position;
    tensors.emplace(entry.name, engine::HostTensor::from_floats(entry.shape, values));
  }
  return tensors;
}

DinoNetwork::DinoNetwork(engine::Queue& queue, const model::VitConfig& config,
                         const model::ModelMetadata& metadata, const DinoHeadConfig& head_config,
                         const std::map<std::string, engine::HostTensor>& backbone_tensors,
                         const std::map<std::string, engine::HostTensor>& head_tensors,
                         DType precision, const model::WeightUse& use)
    : backbone(queue, headless(config), metadata, backbone_tensors, precision, use),
      head(queue, head_config, precision, use) {
  upload(queue, head.parameters(), head_tensors);
  head.refresh(queue);
}

void DinoNetwork::refresh(engine::Queue& queue) {
  backbone.refresh(queue);
  head.refresh(queue);
}

}  // namespace vitsnna::train
