// A strided operand inside a kernel.
#pragma once

#include "kernels/cuda/device.h"

namespace vitsnna::kernels::cuda {

/// Matrix or ConstMatrix with its element type: element (item, row, column) is row(item,
/// row)[column].
template <class T>
struct Rows {
  T* data = nullptr;
  index_t item_stride = 0;
  index_t row_stride = 0;

  Rows() = default;
  template <class AnyMatrix>
  explicit Rows(const AnyMatrix& matrix)
      : data(static_cast<T*>(matrix.data)),
        item_stride(matrix.item_stride),
        row_stride(matrix.row_stride) {}
  __device__ __forceinline__ T* row(index_t item, index_t row_index) const {
    return data + item * item_stride + row_index * row_stride;
  }
};

}  // namespace vitsnna::kernels::cuda
