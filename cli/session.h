// A model on a device, ready to be used: what `predict`, `explain` and `attention` start from.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/class_names.h"
#include "cli/console.h"
#include "cli/options.h"
#include "engine/queue.h"
#include "model/vit.h"

namespace vitsnna::cli {

/// Where the weights came from.
struct ModelOrigin {
  std::string path;    ///< as given: a file, or "random:SEED"
  std::string format;  ///< "safetensors", "pth (zip)", "pth (legacy)", "random"
  std::string sha256;  ///< of the file; empty for random weights
  std::optional<std::uint64_t> random_seed;
  std::vector<std::string> left_out;  ///< tensors of the file that the model does not use
  index_t parameters = 0;
};

class Session {
 public:
  /// Loads the model, takes the device, says on the console what was left out of the file. Throws
  /// Error naming what does not fit, UsageError for an impossible option.
  Session(const ModelArguments& model, const RunArguments& run, const Console& console);

  const ModelOrigin& origin() const { return origin_; }
  const model::Vit& vit() const { return *vit_; }
  const model::VitConfig& config() const { return vit_->config(); }
  const model::ModelMetadata& metadata() const { return vit_->metadata(); }
  const ClassNames& names() const { return *names_; }
  engine::Queue& queue() { return *queue_; }
  /// Throws Error saying how to bring a head, where there is none.
  void require_head() const;

  /// The manifest's objects "model" and "device" (docs/OUTPUT.md).
  nlohmann::ordered_json model_json() const;
  nlohmann::ordered_json device_json() const;

 private:
  ModelOrigin origin_;
  std::unique_ptr<engine::Queue> queue_;
  std::unique_ptr<model::Vit> vit_;
  std::unique_ptr<ClassNames> names_;
};

/// "random" or "random:SEED" as a seed; nothing for a file's name.
std::optional<std::uint64_t> parse_random_model(const std::string& text);

/// Extents of a model, and its metadata, as `info --json` and the manifest give them.
nlohmann::ordered_json config_json(const model::VitConfig& config);
nlohmann::ordered_json metadata_json(const model::ModelMetadata& metadata);

}  // namespace vitsnna::cli
