// Reads a checkpoint (or draws random weights), lets the options override its metadata, uploads it.
#include "cli/session.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/errors.h"
#include "kernels/backend.h"
#include "model/checkpoint.h"

namespace vitsnna::cli {
namespace {

using nlohmann::ordered_json;

/// SPEC section 1: ViT-S/8 as DINO trains it, its head over the last four blocks' CLS.
model::VitConfig random_config() {
  model::VitConfig config;
  config.embed_dim = 384;
  config.depth = 12;
  config.num_heads = 6;
  config.patch_size = 8;
  config.mlp_hidden = 4 * config.embed_dim;
  config.trained_grid_height = config.trained_grid_width = 28;
  config.num_classes = 4;
  config.head_blocks = 4;
  return config;
}

model::ModelMetadata random_metadata() {
  model::ModelMetadata metadata;
  metadata.labels = {"forward", "stop_slow", "left", "right"};
  metadata.activation = model::Activation::sigmoid;
  return metadata;
}

void refuse_checkpoint_options(const CheckpointArguments& arguments) {
  if (!arguments.part.empty() || !arguments.head_file.empty() || arguments.heads != 0) {
    throw UsageError("--model random: takes none of --part, --head and --heads");
  }
}

}  // namespace

std::optional<std::uint64_t> parse_random_model(const std::string& text) {
  constexpr std::string_view kName = "random";
  if (text == kName) return 0;
  if (text.rfind("random:", 0) != 0) return std::nullopt;
  std::uint64_t seed = 0;
  const char* begin = text.data() + kName.size() + 1;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(begin, end, seed);
  if (code != std::errc() || stop != end) {
    throw UsageError(fmt::format("--model: '{}' given, random:SEED wanted, a whole number", text));
  }
  return seed;
}

Session::Session(const ModelArguments& arguments, const RunArguments& run, const Console& console) {
  const bool bf16 = run.precision == "bf16";
  const engine::DType precision = bf16 ? engine::DType::bf16 : engine::DType::f32;
  const auto open_queue = [&] {
    queue_ = std::make_unique<engine::Queue>(engine::select_device(run.device), run.threads);
    const engine::Device& device = queue_->device();
    if (device.fell_back && !console.json()) {
      console.note(fmt::format("computing on the CPU: {}", device.reason));
    }
    if (bf16 && !queue_->backend().supports(precision)) {
      throw Error(fmt::format("--precision: bf16 is not offered on {}, fp32 wanted",
                              queue_->device().description));
    }
  };

  origin_.path = arguments.model;
  origin_.random_seed = parse_random_model(arguments.model);
  if (origin_.random_seed) {
    refuse_checkpoint_options(arguments.checkpoint);
    const model::VitConfig config = random_config();
    model::ModelMetadata metadata = random_metadata();
    arguments.metadata.apply(config, metadata);
    origin_.format = "random";
    console.warn(
        fmt::format("the weights are random (seed {}): what this model says and its maps "
                    "mean nothing",
                    *origin_.random_seed));
    open_queue();
    vit_ = std::make_unique<model::Vit>(
        model::Vit::random(*queue_, config, metadata, *origin_.random_seed, precision));
    origin_.parameters = vit_->parameters().table().elements();
  } else {
    model::Checkpoint checkpoint =
        model::load_checkpoint(arguments.model, arguments.checkpoint.resolve());
    arguments.metadata.apply(checkpoint.config, checkpoint.metadata);
    origin_.format = checkpoint.format;
    origin_.sha256 = checkpoint.sha256;
    origin_.left_out = checkpoint.left_out;
    origin_.parameters = checkpoint.parameters();
    if (!origin_.left_out.empty()) {
      console.note(fmt::format(
          "{}: {} tensor{} that this model does not use left out "
          "(`vitsnna info` lists them)",
          origin_.path, origin_.left_out.size(), origin_.left_out.size() == 1 ? "" : "s"));
    }
    open_queue();
    vit_ = std::make_unique<model::Vit>(*queue_, checkpoint.config, checkpoint.metadata,
                                        checkpoint.tensors, precision);
  }
  names_ = std::make_unique<ClassNames>(metadata().labels, config().num_classes);
}

void Session::require_head() const {
  if (config().has_head()) return;
  throw Error(fmt::format("{}: is a backbone without a classification head: --head FILE brings one",
                          origin_.path));
}

ordered_json config_json(const model::VitConfig& config) {
  return {{"embed_dim", config.embed_dim},
          {"depth", config.depth},
          {"num_heads", config.num_heads},
          {"patch_size", config.patch_size},
          {"channels", config.channels},
          {"mlp_hidden", config.mlp_hidden},
          {"trained_grid", {config.trained_grid_height, config.trained_grid_width}},
          {"num_classes", config.num_classes},
          {"head_blocks", config.has_head() ? config.head_blocks : 0},
          {"layer_norm_epsilon", static_cast<double>(config.layer_norm_epsilon)}};
}

ordered_json metadata_json(const model::ModelMetadata& metadata) {
  ordered_json json = {{"mean", metadata.mean}, {"std", metadata.deviation}};
  json["input_size"] = nullptr;
  if (metadata.input_size) {
    json["input_size"] = {metadata.input_size->first, metadata.input_size->second};
  }
  json["crop_pct"] = nullptr;
  if (metadata.crop_pct) json["crop_pct"] = *metadata.crop_pct;
  json["activation"] = metadata.activation == model::Activation::sigmoid ? "sigmoid" : "softmax";
  json["thresholds"] = metadata.thresholds;
  json["labels"] = metadata.labels;
  return json;
}

ordered_json Session::model_json() const {
  ordered_json json = {{"path", origin_.path}, {"format", origin_.format}};
  json["sha256"] = nullptr;
  if (!origin_.sha256.empty()) json["sha256"] = origin_.sha256;
  json["random_seed"] = nullptr;
  if (origin_.random_seed) {
    json["random_seed"] = *origin_.random_seed;
    json["warning"] = "the weights are random: the maps mean nothing";
  }
  json["parameters"] = origin_.parameters;
  json["left_out"] = origin_.left_out;
  json["config"] = config_json(config());
  json["metadata"] = metadata_json(metadata());
  return json;
}

ordered_json Session::device_json() const {
  const engine::Device& device = queue_->device();
  return {{"name", device.name()},
          {"description", device.description},
          {"reason", device.reason},
          {"threads", queue_->num_threads()}};
}

}  // namespace vitsnna::cli
