// SHA-256, by which manifests name the files that a result came from.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace vitsnna::engine {

/// 64 lower-case hexadecimal digits.
std::string sha256(std::span<const std::byte> bytes);
/// Of a file's content; throws Error naming the file when it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace vitsnna::engine
