// From a storage's bytes to a row-major tensor: the bounds of a strided view, and its copy where it
// is not contiguous already.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "engine/io/pickle_heap.h"
#include "engine/io/tensor_file.h"

namespace vitsnna::engine {

inline constexpr std::size_t largest_torch_rank = 64;

/// What is wrong with the view: a negative extent, stride or offset, a size that overflows, an
/// element beyond its storage. Empty where nothing is.
std::string fault_of(const TorchTensor& tensor);

/// Bytes of one storage and what keeps them alive.
struct StorageBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

/// The container's part: where a storage's bytes are. Exactly as many as its elements take.
using StorageLoader = std::function<StorageBytes(const TorchStorage&)>;

/// Makes tensors of one file. A contiguous one is a view of its storage; another is copied, and all
/// copies together may not exceed the file's size.
class TensorBuilder {
 public:
  TensorBuilder(std::string path, std::size_t file_size, StorageLoader loader);
  HostTensor build(const std::string& name, const TorchTensor& tensor);

 private:
  std::string path_;
  std::size_t copies_left_;
  StorageLoader loader_;
};

}  // namespace vitsnna::engine
