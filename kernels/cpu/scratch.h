// Lays out an op's scratch: the same plan sizes it (scratch_bytes) and addresses it (run).
#pragma once

#include <cstddef>

#include "kernels/queue.h"

namespace vitsnna::kernels::cpu {

constexpr index_t round_up(index_t value, index_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
constexpr index_t ceil_div(index_t value, index_t divisor) {
  return (value + divisor - 1) / divisor;
}

/// Hands out 64-byte aligned offsets.
class ScratchPlan {
 public:
  index_t reserve(index_t bytes) {
    const index_t offset = bytes_;
    bytes_ += round_up(bytes, 64);
    return offset;
  }
  index_t bytes() const { return bytes_; }

 private:
  index_t bytes_ = 0;
};

template <class T>
T* scratch_at(const Queue& queue, index_t offset) {
  return reinterpret_cast<T*>(static_cast<std::byte*>(queue.scratch) + offset);
}

/// Address of element (item, row, column) of a strided matrix.
inline const void* element(const ConstMatrix& matrix, index_t item, index_t row, index_t column) {
  return static_cast<const std::byte*>(matrix.data) +
         (item * matrix.item_stride + row * matrix.row_stride + column) * size_of(matrix.dtype);
}
inline void* element(const Matrix& matrix, index_t item, index_t row, index_t column) {
  return static_cast<std::byte*>(matrix.data) +
         (item * matrix.item_stride + row * matrix.row_stride + column) * size_of(matrix.dtype);
}

}  // namespace vitsnna::kernels::cpu
