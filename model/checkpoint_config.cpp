// Shapes to configuration, and the check of every shape against it.
#include "model/checkpoint_config.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <set>
#include <string_view>

#include "engine/io/printable.h"
#include "kernels/error.h"
#include "model/checkpoint_names.h"

namespace vitsnna::model {

using engine::HostTensor;
using engine::printable;

namespace {

constexpr index_t default_head_dim = 64;
constexpr index_t largest_extent = index_t{1}
                                   << 24;  // of a width: products of two stay far below 2^63

class Inference {
 public:
  Inference(const std::string& path, const TensorMap& tensors) : path_(path), tensors_(tensors) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: {}", printable(path_, 1000), what));
  }

  // The tensor, of the given rank and with no empty or absurd extent.
  const HostTensor& at(const std::string& name, std::size_t rank, const char* wanted) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) fail(fmt::format("tensor '{}' is missing", name));
    const HostTensor& tensor = found->second;
    bool possible = tensor.shape.size() == rank;
    for (const index_t extent : tensor.shape) {
      possible = possible && extent >= 1 && extent <= largest_extent;
    }
    if (!possible) misshapen(name, wanted);
    return tensor;
  }

  [[noreturn]] void misshapen(const std::string& name, const std::string& wanted) const {
    fail(fmt::format("tensor '{}' has shape {}, {} was wanted", name,
                     tensors_.at(name).shape_text(), wanted));
  }

  void patches(VitConfig& config) const {
    const std::string name = "patch_embed.proj.weight";
    const auto& shape = at(name, 4, "(width, channels, patch, patch)").shape;
    if (shape[2] != shape[3]) misshapen(name, "(width, channels, patch, patch)");
    config.embed_dim = shape[0];
    config.channels = shape[1];
    config.patch_size = shape[2];
  }

  void blocks(VitConfig& config) const {
    std::set<std::string_view> indices;
    for (const auto& [name, tensor] : tensors_) {
      const std::string_view view = name;
      if (!view.starts_with("blocks.")) continue;
      indices.insert(view.substr(7, view.find('.', 7) - 7));
    }
    if (indices.empty()) fail("holds no transformer block (blocks.0 and so on)");
    config.depth = static_cast<index_t>(indices.size());
    config.mlp_hidden = at("blocks.0.mlp.fc1.weight", 2, "(hidden, width)").shape[0];
  }

  void grid(VitConfig& config, const StringMap& metadata) const {
    const std::string name = "pos_embed";
    const index_t patches = at(name, 3, "(1, 1 + patches, width)").shape[1] - 1;
    if (patches < 1) misshapen(name, "(1, 1 + patches, width)");
    if (const auto grid = parse_trained_grid(path_, metadata)) {
      config.trained_grid_height = grid->first;
      config.trained_grid_width = grid->second;
      if (config.trained_patches() == patches) return;
      fail(fmt::format(
          "metadata 'trained_grid' is {}x{}, the {} patches of tensor 'pos_embed' were wanted",
          grid->first, grid->second, patches));
    }
    if (const auto size = parse_input_size(path_, metadata)) {
      config.trained_grid_height = size->first / config.patch_size;
      config.trained_grid_width = size->second / config.patch_size;
      if (config.trained_patches() == patches) return;
    }
    const auto side = static_cast<index_t>(std::lround(std::sqrt(static_cast<double>(patches))));
    if (side * side != patches) {
      fail(
          fmt::format("tensor 'pos_embed' holds {} patches, which is no square: metadata "
                      "trained_grid (ROWSxCOLUMNS) or input_size (HEIGHTxWIDTH) of as many "
                      "patches was wanted",
                      patches));
    }
    config.trained_grid_height = side;
    config.trained_grid_width = side;
  }

  void head(VitConfig& config) const {
    const std::string name = "head.weight";
    if (!tensors_.contains(name)) {
      if (tensors_.contains("head.bias")) fail("tensor 'head.weight' is missing");
      return;
    }
    const auto& shape = at(name, 2, "(classes, n * width)").shape;
    config.num_classes = shape[0];
    config.head_blocks = shape[1] / config.embed_dim;
    if (shape[1] % config.embed_dim != 0 || config.head_blocks > config.depth) {
      misshapen(name, fmt::format("(classes, n * {}) with n from 1 to {}", config.embed_dim,
                                  config.depth));
    }
  }

  void heads(VitConfig& config, const StringMap& metadata, std::optional<index_t> wanted) const {
    const index_t width = config.embed_dim;
    const auto stored = parse_heads(path_, metadata);
    const char* source = wanted ? "--heads" : stored ? "metadata 'heads'" : "width / 64";
    if (!wanted && !stored && width % default_head_dim != 0) {
      fail(
          fmt::format("the width {} is no multiple of 64: the number of attention heads must be "
                      "given (--heads)",
                      width));
    }
    config.num_heads = wanted ? *wanted : stored.value_or(width / default_head_dim);
    if (config.num_heads < 1 || width % config.num_heads != 0) {
      fail(fmt::format("{} attention heads ({}) do not divide the width {}", config.num_heads,
                       source, width));
    }
  }

 private:
  const std::string& path_;
  const TensorMap& tensors_;
};

bool is_floating(engine::ElementType type) {
  using engine::ElementType;
  return type == ElementType::f64 || type == ElementType::f32 || type == ElementType::f16 ||
         type == ElementType::bf16;
}

}  // namespace

VitConfig infer_config(const std::string& path, const TensorMap& tensors, const StringMap& metadata,
                       std::optional<index_t> heads) {
  const Inference inference(path, tensors);
  VitConfig config;
  inference.patches(config);
  inference.blocks(config);
  inference.grid(config, metadata);
  inference.head(config);
  inference.heads(config, metadata, heads);
  return config;
}

void check_tensors(const std::string& path, const TensorMap& tensors, const VitConfig& config) {
  const Inference inference(path, tensors);
  const auto shapes = canonical_shapes(config);
  for (const auto& [name, shape] : shapes) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) inference.fail(fmt::format("tensor '{}' is missing", name));
    if (found->second.shape != shape) {
      inference.misshapen(name, fmt::format("({})", fmt::join(shape, ", ")));
    }
    if (!is_floating(found->second.type)) {
      inference.fail(fmt::format("tensor '{}' is {}, a floating-point type was wanted", name,
                                 engine::name_of(found->second.type)));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (!shapes.contains(name)) {
      inference.fail(fmt::format("tensor '{}' does not fit the {} blocks found (0 to {})", name,
                                 config.depth, config.depth - 1));
    }
  }
}

}  // namespace vitsnna::model
