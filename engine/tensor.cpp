// Shapes and views.
#include "engine/tensor.h"

namespace vitsnna::engine {

Shape::Shape(std::initializer_list<index_t> extents) {
  if (extents.size() > extents_.size()) throw Error("shape: more than four axes");
  for (const index_t extent : extents) extents_[static_cast<std::size_t>(rank_++)] = extent;
}

index_t Shape::elements() const {
  index_t count = 1;
  for (int axis = 0; axis < rank_; ++axis) count *= (*this)[axis];
  return count;
}

std::string Shape::text() const {
  std::string text = "(";
  for (int axis = 0; axis < rank_; ++axis) {
    text += (axis ? ", " : "") + std::to_string((*this)[axis]);
  }
  return text + ")";
}

float* Tensor::f32() const {
  if (dtype != DType::f32) {
    throw Error("tensor " + shape.text() + ": " + kernels::name_of(dtype) + " found, fp32 wanted");
  }
  return static_cast<float*>(data);
}

kernels::Matrix Tensor::matrix() const {
  const int rank = shape.rank();
  const index_t columns = rank >= 1 ? shape[rank - 1] : 1;
  const index_t rows = rank >= 2 ? shape[rank - 2] : 1;
  return {data, dtype, rows * columns, columns};
}

kernels::Matrix Tensor::columns_from(index_t column) const {
  kernels::Matrix view = matrix();
  view.data = static_cast<char*>(data) + column * kernels::size_of(dtype);
  return view;
}

kernels::Matrix Tensor::rows_from(index_t row) const {
  kernels::Matrix view = matrix();
  view.data = static_cast<char*>(data) + row * view.row_stride * kernels::size_of(dtype);
  return view;
}

Tensor Tensor::items(index_t first, index_t count) const {
  const index_t item = shape.elements() / shape[0];
  Tensor view = *this;
  view.data = static_cast<char*>(data) + first * item * kernels::size_of(dtype);
  switch (shape.rank()) {
    case 1:
      view.shape = {count};
      break;
    case 2:
      view.shape = {count, shape[1]};
      break;
    case 3:
      view.shape = {count, shape[1], shape[2]};
      break;
    default:
      view.shape = {count, shape[1], shape[2], shape[3]};
      break;
  }
  return view;
}

}  // namespace vitsnna::engine
