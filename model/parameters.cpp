// Layout of the parameter block, and the preparation of its weights for products.
#include "model/parameters.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"

namespace vitsnna::model {

namespace {

constexpr index_t kFloatAlignment = 16;  // 64 bytes

index_t round_up(index_t value, index_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

ParameterTable::ParameterTable(const VitConfig& config) {
  const index_t d = config.embed_dim;
  add("cls_token", {1, 1, d});
  add("pos_embed", {1, 1 + config.trained_patches(), d});
  add("patch_embed.proj.weight", {d, config.channels, config.patch_size, config.patch_size});
  add("patch_embed.proj.bias", {d});
  for (index_t block = 0; block < config.depth; ++block) {
    const std::string prefix = "blocks." + std::to_string(block) + ".";
    const auto layer = [&](const std::string& name, index_t out, index_t in) {
      add(prefix + name + ".weight", {out, in});
      add(prefix + name + ".bias", {out});
    };
    const auto norm = [&](const std::string& name) {
      add(prefix + name + ".weight", {d});
      add(prefix + name + ".bias", {d});
    };
    norm("norm1");
    layer("attn.qkv", 3 * d, d);
    layer("attn.proj", d, d);
    norm("norm2");
    layer("mlp.fc1", config.mlp_hidden, d);
    layer("mlp.fc2", d, config.mlp_hidden);
  }
  add("norm.weight", {d});
  add("norm.bias", {d});
  if (config.has_head()) {
    add("head.weight", {config.num_classes, config.head_blocks * d});
    add("head.bias", {config.num_classes});
  }
}

void ParameterTable::add(std::string name, std::vector<index_t> shape) {
  index_t count = 1;
  for (const index_t extent : shape) count *= extent;
  entries_.push_back({std::move(name), std::move(shape), block_elements_, count});
  elements_ += count;
  block_elements_ += round_up(count, kFloatAlignment);
}

const ParameterTable::Entry& ParameterTable::at(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  if (found == entries_.end()) {
    throw Error("parameter " + std::string(name) + ": this model has none of that name");
  }
  return *found;
}

Parameters::Parameters(engine::Queue& queue, ParameterTable table)
    : table_(std::move(table)), backend_(&queue.backend()) {
  data_ = static_cast<float*>(backend_->allocate(bytes()));
  try {
    queue.zero(data_, bytes());
  } catch (...) {  // no destructor runs for what was not constructed
    backend_->deallocate(data_, bytes());
    throw;
  }
}

Parameters::~Parameters() {
  if (data_) backend_->deallocate(data_, bytes());
}

Parameters::Parameters(Parameters&& other) noexcept
    : table_(std::move(other.table_)),
      backend_(other.backend_),
      data_(std::exchange(other.data_, nullptr)) {}

VitWeights::VitWeights(engine::Queue& queue, const VitConfig& config, const Parameters& parameters,
                       kernels::DType precision, const WeightUse& use)
    : prepared_(queue.backend()) {
  const index_t d = config.embed_dim;
  const auto layer = [&](LinearLayer& linear, const float* weight, const float* bias, index_t out,
                         index_t in, kernels::DType dtype) {
    prepared_.add(linear, weight, bias, out, in, dtype, use);
  };
  const index_t patch_columns = config.channels * config.patch_size * config.patch_size;
  layer(patch_embedding, parameters.at("patch_embed.proj.weight"),
        parameters.at("patch_embed.proj.bias"), d, patch_columns, precision);
  cls_token = parameters.at("cls_token");
  position_embedding = parameters.at("pos_embed");
  norm = {parameters.at("norm.weight"), parameters.at("norm.bias")};
  blocks.resize(static_cast<std::size_t>(config.depth));
  for (index_t index = 0; index < config.depth; ++index) {
    BlockWeights& block = blocks[static_cast<std::size_t>(index)];
    const std::string prefix = "blocks." + std::to_string(index) + ".";
    const auto at = [&](const char* name) { return parameters.at(prefix + name); };
    block.norm1 = {at("norm1.weight"), at("norm1.bias")};
    block.norm2 = {at("norm2.weight"), at("norm2.bias")};
    const float* qkv = at("attn.qkv.weight");
    const float* qkv_bias = at("attn.qkv.bias");
    if (index + 1 < config.depth) {
      layer(block.query_key_value, qkv, qkv_bias, 3 * d, d, precision);
    } else {
      layer(block.query, qkv, qkv_bias, d, d, precision);
      layer(block.key_value, qkv + d * d, qkv_bias + d, 2 * d, d, precision);
    }
    layer(block.projection, at("attn.proj.weight"), at("attn.proj.bias"), d, d, precision);
    layer(block.fc1, at("mlp.fc1.weight"), at("mlp.fc1.bias"), config.mlp_hidden, d, precision);
    layer(block.fc2, at("mlp.fc2.weight"), at("mlp.fc2.bias"), d, config.mlp_hidden, precision);
  }
  if (config.has_head()) {
    // The head sees one row an image: nothing to gain from a lower precision.
    layer(head, parameters.at("head.weight"), parameters.at("head.bias"), config.num_classes,
          config.head_blocks * d, kernels::DType::f32);
  }
  prepared_.allocate();
}

}  // namespace vitsnna::model
