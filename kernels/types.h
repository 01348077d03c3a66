// Element types, extents and the strided-matrix view in which every kernel takes its operands.
#pragma once

#include <cstdint>

namespace vitsnna::kernels {

/// Every extent, stride and offset: 64 bits, so that no image is too large for an index.
using index_t = std::int64_t;

/// Storage type of an operand. Sums, statistics and softmax are fp32 whatever the storage is.
enum class DType : std::uint8_t { f32, bf16 };

constexpr index_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }
constexpr const char* name_of(DType dtype) { return dtype == DType::f32 ? "fp32" : "bf16"; }

/// A batch of strided matrices. Element (item, row, column) is
///   data[item * item_stride + row * row_stride + column]
/// in units of `dtype`; columns are contiguous. Which extents are read is said by the op that
/// takes it, so that the query, key and value thirds of one buffer are three views of it.
struct ConstMatrix {
  const void* data = nullptr;
  DType dtype = DType::f32;
  index_t item_stride = 0;
  index_t row_stride = 0;
};

struct Matrix {
  void* data = nullptr;
  DType dtype = DType::f32;
  index_t item_stride = 0;
  index_t row_stride = 0;
  operator ConstMatrix() const { return {data, dtype, item_stride, row_stride}; }
};

}  // namespace vitsnna::kernels
