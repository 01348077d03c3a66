// The format of torch.save before PyTorch 1.6: a magic number, a version, the machine's byte order
// and the object, each a pickle; then the storages' keys and, one after another, their bytes.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "engine/io/torch_tensor.h"

namespace vitsnna::engine {

struct TorchLegacy {
  ValueId root = 0;
  /// Bytes of every storage, by key.
  std::map<std::string, std::span<const std::byte>> storages;
};

/// Makes the object in `heap`. Throws Error: another magic number or version, a
/// big-endian file, a storage listed twice or never used, truncated or trailing bytes.
TorchLegacy read_torch_legacy(std::span<const std::byte> bytes, PickleHeap& heap);

}  // namespace vitsnna::engine
