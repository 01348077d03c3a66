// Named tensors as they lie in a file: the common result of the safetensors and .pth readers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vitsnna::engine {

enum class ElementType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

std::int64_t size_of(ElementType type);
const char* name_of(ElementType type);

/// Bytes of a tensor of this shape; nothing where an extent is negative or the product overflows.
std::optional<std::int64_t> byte_count(std::span<const std::int64_t> shape, ElementType type);

/// One tensor in host memory, row-major. `bytes` points into `storage` (a mapped file, a buffer),
/// which it keeps alive.
struct HostTensor {
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;  ///< no dimension is negative; {} is a scalar
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> storage;

  std::int64_t elements() const;
  /// Converts to fp32 (any type; f64, i64 and i32 round). `destination` holds elements() floats.
  void copy_to(float* destination) const;
  std::vector<float> to_floats() const;
  std::string shape_text() const;  ///< "(3, 224, 224)"

  static HostTensor from_floats(std::vector<std::int64_t> shape, std::span<const float> values);
};

/// Tensors by name, and the file's string metadata.
struct TensorFile {
  std::string path;
  std::map<std::string, HostTensor> tensors;
  std::map<std::string, std::string> metadata;

  /// Throws Error naming the file and the tensor when it is not there.
  const HostTensor& at(const std::string& name) const;
};

}  // namespace vitsnna::engine
