// Bounds of strided views, and gathering.
#include "engine/io/torch_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

bool is_empty(const TorchTensor& tensor) {
  return std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
}

// Row-major without gaps; the stride of an extent of one is never used.
bool is_contiguous(const TorchTensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t d = tensor.shape.size(); d-- > 0;) {
    if (tensor.shape[d] != 1 && tensor.strides[d] != expected) return false;
    expected *= tensor.shape[d];
  }
  return true;
}

// Copies row-major; element (i_0 ... i_n) is at offset + sum_d i_d * stride_d. Extents of one are
// passed over: their strides are never used, may be anything, and must not be added.
void gather(const TorchTensor& tensor, const std::byte* storage, std::byte* destination) {
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    if (tensor.shape[d] == 1) continue;
    shape.push_back(tensor.shape[d]);
    strides.push_back(tensor.strides[d]);
  }
  const std::int64_t size = size_of(tensor.storage.type);
  std::vector<std::int64_t> index(shape.size(), 0);
  std::int64_t source = tensor.offset;
  while (true) {
    std::memcpy(destination, storage + source * size, static_cast<std::size_t>(size));
    destination += size;
    std::size_t d = index.size();
    while (d > 0) {
      --d;
      source += strides[d];
      if (++index[d] < shape[d]) break;
      source -= strides[d] * shape[d];
      index[d] = 0;
      if (d == 0) return;
    }
    if (index.empty()) return;
  }
}

}  // namespace

std::string fault_of(const TorchTensor& tensor) {
  const auto text = [&] {
    return fmt::format(
        "a tensor of shape ({}), stride ({}) and offset {} in storage '{}' of {} "
        "elements",
        fmt::join(tensor.shape, ", "), fmt::join(tensor.strides, ", "), tensor.offset,
        printable(tensor.storage.key), tensor.storage.elements);
  };
  if (tensor.shape.size() != tensor.strides.size()) {
    return text() + " has not one stride a dimension";
  }
  const auto negative = [](std::int64_t value) { return value < 0; };
  if (tensor.offset < 0 || std::any_of(tensor.shape.begin(), tensor.shape.end(), negative) ||
      std::any_of(tensor.strides.begin(), tensor.strides.end(), negative)) {
    return text() + " has a negative number";
  }
  if (!byte_count(tensor.shape, tensor.storage.type)) return text() + " is too large";
  std::int64_t last = tensor.offset;
  if (is_empty(tensor)) {
    return last > tensor.storage.elements ? text() + " begins beyond it" : "";
  }
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    std::int64_t reach = 0;
    if (__builtin_mul_overflow(tensor.shape[d] - 1, tensor.strides[d], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return text() + " reaches beyond it";
    }
  }
  return last >= tensor.storage.elements ? text() + " reaches beyond it" : "";
}

TensorBuilder::TensorBuilder(std::string path, std::size_t file_size, StorageLoader loader)
    : path_(std::move(path)), copies_left_(file_size), loader_(std::move(loader)) {}

HostTensor TensorBuilder::build(const std::string& name, const TorchTensor& tensor) {
  const auto size = static_cast<std::size_t>(*byte_count(tensor.shape, tensor.storage.type));
  const StorageBytes storage = loader_(tensor.storage);
  HostTensor made;
  made.type = tensor.storage.type;
  made.shape = tensor.shape;
  if (is_empty(tensor) || is_contiguous(tensor)) {
    const auto begin =
        static_cast<std::size_t>(tensor.offset) * static_cast<std::size_t>(size_of(made.type));
    made.bytes = storage.bytes.subspan(begin, size);
    made.storage = storage.owner;
    return made;
  }
  if (size > copies_left_) {
    throw Error(
        fmt::format("{}: tensor '{}' of shape {} is a view that repeats its storage: "
                    "its {} bytes are more than the file justifies",
                    printable(path_, 1000), printable(name), made.shape_text(), size));
  }
  copies_left_ -= size;
  auto copy = std::make_shared<std::vector<std::byte>>(size);
  gather(tensor, storage.bytes.data(), copy->data());
  made.bytes = *copy;
  made.storage = std::move(copy);
  return made;
}

}  // namespace vitsnna::engine
