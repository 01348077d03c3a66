// Naming rules of SPEC section 7, as tables.
#include "model/checkpoint_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::model {

using engine::HostTensor;
using engine::printable;
using engine::TensorFile;

namespace {

using Slice = Destination::Slice;

// Wrappers around the network itself: DistributedDataParallel, DINO's MultiCropWrapper, Hugging
// Face's task models, and the dictionaries that training scripts save.
constexpr std::string_view wrappers[] = {"module.", "backbone.", "vit.", "model.", "state_dict."};

// Top-level entries of a training checkpoint that are no network.
constexpr std::string_view training_sections[] = {"optimizer.", "dino_loss.", "fp16_scaler.",
                                                  "scheduler."};

// Parts of a network that only training (or another task) uses.
constexpr std::string_view training_layers[] = {"head.mlp.", "head.last_layer.", "pooler."};

struct Rule {
  std::string_view from;  // without .weight or .bias
  std::string_view to;
  Slice slice = Slice::whole;
};

constexpr Rule block_rules[] = {
    {"norm1", "norm1"}, {"attn.qkv", "attn.qkv"}, {"attn.proj", "attn.proj"},
    {"norm2", "norm2"}, {"mlp.fc1", "mlp.fc1"},   {"mlp.fc2", "mlp.fc2"},
};

constexpr Rule hugging_face_block_rules[] = {
    {"layernorm_before", "norm1"},
    {"attention.attention.query", "attn.qkv", Slice::query},
    {"attention.attention.key", "attn.qkv", Slice::key},
    {"attention.attention.value", "attn.qkv", Slice::value},
    {"attention.output.dense", "attn.proj"},
    {"layernorm_after", "norm2"},
    {"intermediate.dense", "mlp.fc1"},
    {"output.dense", "mlp.fc2"},
};

constexpr Rule outer_rules[] = {
    {"patch_embed.proj", "patch_embed.proj"},
    {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
    {"norm", "norm"},
    {"layernorm", "norm"},
    {"head", "head"},
    {"classifier", "head"},
    {"linear", "head"},  // DINO's linear evaluation
};

// Tensors without a .weight or .bias.
constexpr Rule whole_rules[] = {
    {"cls_token", "cls_token"},
    {"pos_embed", "pos_embed"},
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.position_embeddings", "pos_embed"},
};

bool strip(std::string_view& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return true;
}

template <std::size_t size>
bool starts_with_any(std::string_view name, const std::string_view (&prefixes)[size]) {
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

// "<index>." at the front of `name`, without leading zeros.
std::optional<std::string> strip_index(std::string_view& name) {
  const std::size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
  if (digits == 0 || digits > 6 || digits == name.size() || name[digits] != '.') return {};
  if (digits > 1 && name[0] == '0') return {};
  std::string index(name.substr(0, digits));
  name.remove_prefix(digits + 1);
  return index;
}

template <std::size_t size>
std::optional<Destination> match(std::string_view name, const Rule (&rules)[size],
                                 const std::string& prefix, std::string_view suffix) {
  for (const Rule& rule : rules) {
    if (name == rule.from) {
      return Destination{prefix + std::string(rule.to) + std::string(suffix), rule.slice};
    }
  }
  return {};
}

// The place of a tensor whose wrappers are stripped; nothing if a ViT has no such tensor.
std::optional<Destination> destination_of(std::string_view name) {
  if (auto whole = match(name, whole_rules, "", "")) return whole;
  std::string_view suffix;
  for (const std::string_view candidate : {".weight", ".bias"}) {
    if (name.ends_with(candidate)) suffix = candidate;
  }
  if (suffix.empty()) return {};
  name.remove_suffix(suffix.size());
  if (strip(name, "blocks.")) {
    const auto index = strip_index(name);
    return index ? match(name, block_rules, "blocks." + *index + ".", suffix) : std::nullopt;
  }
  if (strip(name, "encoder.layer.")) {
    const auto index = strip_index(name);
    return index ? match(name, hugging_face_block_rules, "blocks." + *index + ".", suffix)
                 : std::nullopt;
  }
  return match(name, outer_rules, "", suffix);
}

// The prefix ("teacher.") of the part to take; empty if the file holds one network only.
std::string part_prefix(const std::string& path, const std::vector<std::string>& names,
                        std::optional<Part> part) {
  const auto holds = [&](Part candidate) {
    const std::string prefix = std::string(name_of(candidate)) + ".";
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return name.starts_with(prefix); });
  };
  if (!holds(Part::teacher) && !holds(Part::student)) {
    if (!part) return "";
    throw Error(fmt::format("{}: holds one network without parts, the {} was wanted",
                            printable(path, 1000), name_of(*part)));
  }
  const Part wanted = part.value_or(Part::teacher);
  if (!holds(wanted)) {
    const Part other = wanted == Part::teacher ? Part::student : Part::teacher;
    throw Error(fmt::format("{}: holds a {} but no {}", printable(path, 1000), name_of(other),
                            name_of(wanted)));
  }
  return std::string(name_of(wanted)) + ".";
}

HostTensor concatenate_rows(const std::array<const HostTensor*, 3>& thirds) {
  const HostTensor& first = *thirds[0];
  auto buffer = std::make_shared<std::vector<std::byte>>();
  for (const HostTensor* third : thirds) {
    buffer->insert(buffer->end(), third->bytes.begin(), third->bytes.end());
  }
  HostTensor fused;
  fused.type = first.type;
  fused.shape = first.shape;
  fused.shape[0] *= 3;
  fused.bytes = *buffer;
  fused.storage = std::move(buffer);
  return fused;
}

}  // namespace

NamePlan plan_names(const std::string& path, const std::vector<std::string>& names,
                    std::optional<Part> part) {
  const std::string prefix = part_prefix(path, names, part);
  NamePlan plan;
  std::map<std::pair<std::string, Slice>, std::string> taken;
  for (const std::string& name : names) {
    std::string_view rest = name;
    const bool other_part = !prefix.empty() && !rest.starts_with(prefix) &&
                            (rest.starts_with("teacher.") || rest.starts_with("student."));
    if (other_part || starts_with_any(rest, training_sections)) {
      plan.left_out.push_back(name);
      continue;
    }
    strip(rest, prefix);
    while (std::any_of(std::begin(wrappers), std::end(wrappers),
                       [&](std::string_view wrapper) { return strip(rest, wrapper); })) {
    }
    if (starts_with_any(rest, training_layers)) {
      plan.left_out.push_back(name);
      continue;
    }
    auto destination = destination_of(rest);
    if (!destination) {
      throw Error(fmt::format("{}: tensor '{}' is no part of a Vision Transformer that is known",
                              printable(path, 1000), printable(name)));
    }
    const auto [place, is_new] =
        taken.emplace(std::pair(destination->canonical, destination->slice), name);
    if (!is_new) {
      throw Error(fmt::format("{}: tensors '{}' and '{}' are both {}", printable(path, 1000),
                              printable(place->second), printable(name), destination->canonical));
    }
    plan.sources.emplace(name, std::move(*destination));
  }
  return plan;
}

std::map<std::string, HostTensor> canonical_tensors(const TensorFile& file, const NamePlan& plan) {
  std::map<std::string, HostTensor> tensors;
  std::map<std::string, std::array<const HostTensor*, 3>> fused;
  for (const auto& [name, destination] : plan.sources) {
    const HostTensor& tensor = file.at(name);
    if (destination.slice == Slice::whole) {
      tensors.emplace(destination.canonical, tensor);
    } else {
      const auto third = static_cast<std::size_t>(destination.slice) - 1;
      fused[destination.canonical][third] = &tensor;
    }
  }
  constexpr const char* third_names[] = {"query", "key", "value"};
  for (const auto& [canonical, thirds] : fused) {
    const auto fail = [&, &wanted = canonical](const std::string& what) {
      throw Error(fmt::format("{}: {}: {}", printable(file.path, 1000), wanted, what));
    };
    if (tensors.contains(canonical)) fail("the file holds it both fused and as query, key, value");
    for (std::size_t i = 0; i < thirds.size(); ++i) {
      if (thirds[i] == nullptr) fail(fmt::format("its {} is missing", third_names[i]));
    }
    for (std::size_t i = 0; i < thirds.size(); ++i) {
      if (thirds[i]->shape.empty() || thirds[i]->shape != thirds[0]->shape ||
          thirds[i]->type != thirds[0]->type) {
        fail(fmt::format("its {} is {} {}, its query {} {}", third_names[i],
                         engine::name_of(thirds[i]->type), thirds[i]->shape_text(),
                         engine::name_of(thirds[0]->type), thirds[0]->shape_text()));
      }
    }
    tensors.emplace(canonical, concatenate_rows(thirds));
  }
  return tensors;
}

std::map<std::string, std::vector<index_t>> canonical_shapes(const VitConfig& config) {
  const index_t d = config.embed_dim;
  const index_t hidden = config.mlp_hidden;
  std::map<std::string, std::vector<index_t>> shapes;
  const auto linear = [&](const std::string& name, index_t out, index_t in) {
    shapes[name + ".weight"] = {out, in};
    shapes[name + ".bias"] = {out};
  };
  const auto norm = [&](const std::string& name) {
    shapes[name + ".weight"] = {d};
    shapes[name + ".bias"] = {d};
  };
  shapes["cls_token"] = {1, 1, d};
  shapes["pos_embed"] = {1, 1 + config.trained_patches(), d};
  shapes["patch_embed.proj.weight"] = {d, config.channels, config.patch_size, config.patch_size};
  shapes["patch_embed.proj.bias"] = {d};
  for (index_t block = 0; block < config.depth; ++block) {
    const std::string prefix = fmt::format("blocks.{}.", block);
    norm(prefix + "norm1");
    linear(prefix + "attn.qkv", 3 * d, d);
    linear(prefix + "attn.proj", d, d);
    norm(prefix + "norm2");
    linear(prefix + "mlp.fc1", hidden, d);
    linear(prefix + "mlp.fc2", d, hidden);
  }
  norm("norm");
  if (config.has_head()) linear("head", config.num_classes, config.head_blocks * d);
  return shapes;
}

}  // namespace vitsnna::model
