// A file of tensors whose format is told by its first bytes, not by its name.
#pragma once

#include <string>

#include "engine/io/tensor_file.h"
#include "engine/io/torch_pickle.h"

namespace vitsnna::engine {

struct CheckpointFile {
  TensorFile content;  ///< the tensors asked for
  std::string format;  ///< "safetensors", "pth (zip)" or "pth (legacy)"
  std::string sha256;  ///< of the file's bytes
};

/// Reads safetensors and PyTorch's .pth in both its formats. Throws Error naming the file.
CheckpointFile read_checkpoint_file(const std::string& path, const TensorSelection& selection);

}  // namespace vitsnna::engine
