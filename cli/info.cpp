// `vitsnna info`: what models are: tensors, configuration, parameters, operations at a size.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/errors.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/process_memory.h"
#include "cli/session.h"
#include "engine/queue.h"
#include "explain/explainer.h"
#include "model/checkpoint.h"
#include "model/vit.h"

namespace vitsnna::cli {
namespace {

using nlohmann::ordered_json;

struct InfoArguments {
  std::vector<std::string> models;
  CheckpointArguments checkpoint;
  std::string size;  ///< N or HxW; empty: the model's own
  bool json = false;
};

struct Described {
  model::Checkpoint checkpoint;
  explain::Extent size;
  double flops = 0;  ///< of one forward pass
};

/// The size asked for, else the one the model was made for; cut to whole patches.
explain::Extent input_size(const InfoArguments& arguments, const model::Checkpoint& checkpoint) {
  const model::VitConfig& config = checkpoint.config;
  explain::Extent size = {config.trained_grid_height * config.patch_size,
                          config.trained_grid_width * config.patch_size};
  if (checkpoint.metadata.input_size) {
    size = {checkpoint.metadata.input_size->first, checkpoint.metadata.input_size->second};
  }
  if (!arguments.size.empty()) {
    explain::SizeOptions options;
    try {
      explain::parse_crop(arguments.size, options);
    } catch (const Error&) {
      throw UsageError(fmt::format("--size: '{}' given, N or HxW wanted", arguments.size));
    }
    size = *options.crop;
  }
  size = {size.height - size.height % config.patch_size,
          size.width - size.width % config.patch_size};
  if (size.area() == 0) {
    throw Error(fmt::format("{}: a size of at least one patch of {}x{} wanted", checkpoint.path,
                            config.patch_size, config.patch_size));
  }
  return size;
}

Described describe(const InfoArguments& arguments, const std::string& path) {
  Described described;
  described.checkpoint = model::load_checkpoint(path, arguments.checkpoint.resolve());
  described.size = input_size(arguments, described.checkpoint);
  const model::Checkpoint& checkpoint = described.checkpoint;
  engine::Queue queue(engine::select_device("cpu"), 1);
  const model::Vit vit(queue, checkpoint.config, checkpoint.metadata, checkpoint.tensors,
                       engine::DType::f32);
  described.flops = explain::Explainer(vit, queue)
                        .plan_forward(described.size.height, described.size.width)
                        .flops;
  return described;
}

ordered_json json_of(const Described& described) {
  const model::Checkpoint& checkpoint = described.checkpoint;
  ordered_json json = {{"path", checkpoint.path},
                       {"format", checkpoint.format},
                       {"sha256", checkpoint.sha256},
                       {"parameters", checkpoint.parameters()},
                       {"config", config_json(checkpoint.config)},
                       {"metadata", metadata_json(checkpoint.metadata)}};
  json["forward"] = {{"height", described.size.height},
                     {"width", described.size.width},
                     {"tokens", 1 + described.size.area() / (checkpoint.config.patch_size *
                                                             checkpoint.config.patch_size)},
                     {"flops", described.flops}};
  json["tensors"] = ordered_json::array();
  for (const auto& [name, tensor] : checkpoint.tensors) {
    json["tensors"].push_back(
        {{"name", name}, {"type", engine::name_of(tensor.type)}, {"shape", tensor.shape}});
  }
  json["left_out"] = checkpoint.left_out;
  return json;
}

void print(const Console& console, const Described& described) {
  const model::Checkpoint& checkpoint = described.checkpoint;
  const model::VitConfig& config = checkpoint.config;
  const model::ModelMetadata& metadata = checkpoint.metadata;
  const auto line = [&](const char* what, const std::string& text) {
    console.result(fmt::format("  {:<14}{}", what, text));
  };
  const auto triple = [](const std::array<float, 3>& v) {
    return fmt::format("{:g}, {:g}, {:g}", v[0], v[1], v[2]);
  };
  console.result(checkpoint.path);
  line("format", checkpoint.format);
  line("sha256", checkpoint.sha256);
  line("parameters", std::to_string(checkpoint.parameters()));
  line("model", fmt::format("ViT, width {}, {} blocks, {} heads of {}, MLP {}, patch {}",
                            config.embed_dim, config.depth, config.num_heads, config.head_dim(),
                            config.mlp_hidden, config.patch_size));
  line("trained on",
       fmt::format("{}x{} patches ({}x{} pixels), {} channels", config.trained_grid_height,
                   config.trained_grid_width, config.trained_grid_height * config.patch_size,
                   config.trained_grid_width * config.patch_size, config.channels));
  line("head",
       config.has_head()
           ? fmt::format(
                 "{} classes, {}, from the CLS of the last {}", config.num_classes,
                 metadata.activation == model::Activation::sigmoid ? "sigmoid each" : "softmax",
                 config.head_blocks == 1 ? std::string("block")
                                         : fmt::format("{} blocks", config.head_blocks))
           : "none (--head FILE brings one)");
  line("mean", triple(metadata.mean));
  line("std", triple(metadata.deviation));
  if (config.has_head() && !metadata.labels.empty()) {
    std::string labels;
    constexpr std::size_t kShown = 8;
    for (std::size_t i = 0; i < std::min(metadata.labels.size(), kShown); ++i) {
      labels += (i == 0 ? "" : ", ") + metadata.labels[i];
    }
    if (metadata.labels.size() > kShown) labels += ", ...";
    line("labels", labels);
  }
  line("forward", fmt::format("{} at {}x{}", flops_text(described.flops), described.size.height,
                              described.size.width));
  line("tensors", std::to_string(checkpoint.tensors.size()));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    console.result(
        fmt::format("    {:<34}{:<6}{}", name, engine::name_of(tensor.type), tensor.shape_text()));
  }
  if (!checkpoint.left_out.empty()) {
    line("left out",
         fmt::format("{} tensors that a model does not need", checkpoint.left_out.size()));
    for (const std::string& name : checkpoint.left_out) console.result("    " + name);
  }
}

void info(const InfoArguments& arguments) {
  const Console console(Verbosity{false, arguments.json});
  std::vector<Described> all;
  for (const std::string& path : arguments.models) all.push_back(describe(arguments, path));
  ordered_json json = {{"models", ordered_json::array()}};
  for (const Described& described : all) {
    print(console, described);
    json["models"].push_back(json_of(described));
  }
  if (arguments.json) write_stdout(json_text(json));
}

}  // namespace

void add_info(CLI::App& app) {
  auto arguments = std::make_shared<InfoArguments>();
  CLI::App* command = app.add_subcommand("info", "Describe models: tensors, extents, operations");
  command->add_option("MODEL", arguments->models, "safetensors or .pth")->required()->type_name("");
  declare(*command, arguments->checkpoint);
  command->add_option("--size", arguments->size, "Count operations at this size")
      ->type_name("N|HxW");
  command->add_flag("--json", arguments->json, "One JSON object on standard output");
  command->callback([arguments] { info(*arguments); });
}

}  // namespace vitsnna::cli
