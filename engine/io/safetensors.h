// The safetensors format: eight bytes of header length, a JSON header, and the tensors' bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "engine/io/tensor_file.h"

namespace vitsnna::engine {

/// Maps the file; every tensor is a view of it. Throws Error naming the file, and the tensor where
/// one is at fault: header length beyond the file or the format's limit, JSON that is malformed,
/// not UTF-8, of another structure or with a name twice, an unknown dtype, a shape whose size is
/// not that of its bytes, and data that overlap, leave a hole or lie outside the file.
TensorFile read_safetensors(const std::string& path);

/// The same from memory, which `owner` keeps alive; `path` is for messages.
TensorFile parse_safetensors(const std::string& path, std::span<const std::byte> bytes,
                             const std::shared_ptr<const void>& owner);

/// Writes all or nothing (AtomicFile). The result depends on the arguments alone.
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, HostTensor>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace vitsnna::engine
