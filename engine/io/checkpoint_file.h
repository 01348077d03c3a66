// A file of tensors whose format is told by its first bytes, not by its name.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"

namespace vitsnna::engine {

struct CheckpointFile {
  TensorFile content;  ///< the tensors asked for
  std::string format;  ///< "safetensors", "pth (zip)" or "pth (legacy)"
  std::string sha256;  ///< of the file's bytes
};

/// Given the names of every tensor in a file, in order, returns those to read.
using TensorSelection = std::function<std::vector<std::string>(const std::vector<std::string>&)>;

/// Reads safetensors and PyTorch's .pth in both its formats. Throws Error naming the file.
CheckpointFile read_checkpoint_file(const std::string& path, const TensorSelection& selection);

}  // namespace vitsnna::engine
