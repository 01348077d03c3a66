// numpy's .npy files: reading (formats 1 to 3, C order) and writing (float32, byte for byte as
// numpy.save does).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"

namespace vitsnna::engine {

/// Maps the file; the tensor is a view of it. Any type of ElementType but bfloat16, which numpy has
/// not: a caller that wants float32 says so with require_float32. Throws Error naming the file: no
/// .npy header, a malformed or unknown one, Fortran order, big-endian or structured data, bytes
/// that are more or fewer than the shape takes.
HostTensor read_npy(const std::string& path);

/// The same from memory, which `owner` keeps alive; `path` is for messages.
HostTensor parse_npy(const std::string& path, std::span<const std::byte> bytes,
                     std::shared_ptr<const void> owner);

/// Throw Error naming the file, what was found and what was wanted.
void require_float32(const HostTensor& tensor, const std::string& path);
void require_rank(const HostTensor& tensor, const std::string& path,
                  std::span<const std::size_t> ranks);
/// Neither NaN nor infinite; the message names the first such element's index. fp32 only.
void require_finite(const HostTensor& tensor, const std::string& path);

/// What precedes the elements in a .npy file of float32 in C order; `path` is for messages. Throws
/// Error where the shape does not take `elements` of them.
std::string npy_header(const std::filesystem::path& path, const std::vector<std::int64_t>& shape,
                       std::size_t elements);

/// Writes all or nothing (AtomicFile). `values` are in C order.
void write_npy(const std::filesystem::path& path, const std::vector<std::int64_t>& shape,
               std::span<const float> values);

}  // namespace vitsnna::engine
