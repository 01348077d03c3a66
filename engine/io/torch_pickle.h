// PyTorch's .pth files, read without PyTorch and without running what is in them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"

namespace vitsnna::engine {

/// Given the names of every tensor in a file, in order, returns those to read.
using TensorSelection = std::function<std::vector<std::string>(const std::vector<std::string>&)>;

enum class TorchFormat : std::uint8_t { zip, legacy };

/// Tensors under dotted names (flatten() in pickle_flatten.h), numbers and strings beside them as
/// metadata. Every storage is checked; only what `selection` asks for is read. A storage of the
/// legacy format stays a view of `bytes`, which `owner` keeps alive. `path` is for messages.
TensorFile parse_torch(const std::string& path, TorchFormat format,
                       std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner,
                       const TensorSelection& selection);

}  // namespace vitsnna::engine
