// A contiguous row-major array in device memory: what the engine's arenas hand out. Owns nothing.
#pragma once

#include <array>
#include <initializer_list>
#include <string>

#include "kernels/error.h"
#include "kernels/types.h"

namespace vitsnna::engine {

using kernels::DType;
using kernels::index_t;

/// Up to four extents, outermost first.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<index_t> extents);

  int rank() const { return rank_; }
  index_t operator[](int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  index_t elements() const;
  std::string text() const;  ///< "(2, 785, 384)"
  bool operator==(const Shape&) const = default;

 private:
  std::array<index_t, 4> extents_{1, 1, 1, 1};
  int rank_ = 0;
};

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  explicit operator bool() const { return data != nullptr; }
  index_t bytes() const { return shape.elements() * kernels::size_of(dtype); }

  /// Pointer to fp32 elements; throws Error when the tensor holds something else.
  float* f32() const;

  /// The last two axes as rows x columns, those before them as items.
  kernels::Matrix matrix() const;
  /// As matrix(), but its columns start at `column` (a slice of each row).
  kernels::Matrix columns_from(index_t column) const;
  /// As matrix(), but each item starts at row `row`.
  kernels::Matrix rows_from(index_t row) const;
  /// Items first .. first + count - 1 of the outermost axis.
  Tensor items(index_t first, index_t count) const;
};

}  // namespace vitsnna::engine
