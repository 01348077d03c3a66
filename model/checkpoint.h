// A model's file: any checkpoint of SPEC section 7 in, canonical tensors and configuration out; and
// safetensors written back.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "model/checkpoint_names.h"
#include "model/config.h"

namespace vitsnna::model {

struct CheckpointOptions {
  std::optional<Part> part;              ///< of a full checkpoint; the teacher if not said
  std::optional<index_t> heads;          ///< before metadata, before width / 64
  std::optional<std::string> head_file;  ///< whose head replaces the file's own
};

struct Checkpoint {
  std::string path;
  std::string format;  ///< "safetensors", "pth (zip)", "pth (legacy)"
  std::string sha256;  ///< of the file's bytes; empty for load_checkpoint_from
  VitConfig config;
  ModelMetadata metadata;
  /// Every tensor of canonical_shapes(config), in the type it is stored in.
  std::map<std::string, engine::HostTensor> tensors;
  /// Names in the file of what belongs to training, the other part, or a replaced head.
  std::vector<std::string> left_out;

  index_t parameters() const;
  /// Throws Error saying how to bring a head, if there is none.
  void require_head() const;
};

/// Throws Error naming the file and the tensor, key or option at fault; a missing, extra or
/// misshapen tensor is one.
Checkpoint load_checkpoint(const std::string& path, const CheckpointOptions& options = {});

/// The same from tensors already read (a golden file's weights, a test's own).
Checkpoint load_checkpoint_from(const engine::TensorFile& file,
                                const CheckpointOptions& options = {});

/// Writes safetensors under canonical names with the metadata that load_checkpoint reads, all or
/// nothing. timm loads the backbone as it is, and the head too where it reads one block.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

}  // namespace vitsnna::model
