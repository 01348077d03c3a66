// What the fuzz targets share: an input either gives tensors whose every byte can be read, or an
// Error; anything else (a sanitizer's report, another exception, a hang) is a finding.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "engine/io/tensor_file.h"
#include "kernels/error.h"

namespace vitsnna::fuzz {

// On the heap, exactly as long as the input: one byte too far is a report.
inline std::span<const std::byte> as_bytes(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

inline void touch(const engine::HostTensor& tensor) {
  const auto wanted = engine::byte_count(tensor.shape, tensor.type);
  if (!wanted || *wanted != static_cast<std::int64_t>(tensor.bytes.size())) std::abort();
  volatile float sink = 0;
  for (const float value : tensor.to_floats()) sink = value;
  static_cast<void>(sink);
}

inline void touch(const engine::TensorFile& file) {
  for (const auto& [name, tensor] : file.tensors) touch(tensor);
}

}  // namespace vitsnna::fuzz
