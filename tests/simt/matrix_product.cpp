// The matrix product of the SIMT layer: plain loops, sums in fp32 in the order of the inner extent.
#include "kernels/cuda/matrix_product.h"

#include <atomic>
#include <vector>

#include "kernels/bf16.h"
#include "tests/simt/matrix_products.h"
#include "tests/simt/stream.h"

namespace vitsnna::kernels::cuda {
namespace {

std::atomic<index_t> products = 0;

float load(const ConstMatrix& matrix, index_t item, index_t row, index_t column) {
  const index_t at = item * matrix.item_stride + row * matrix.row_stride + column;
  return matrix.dtype == DType::f32 ? static_cast<const float*>(matrix.data)[at]
                                    : to_float(static_cast<const bf16*>(matrix.data)[at]);
}

void store(const Matrix& matrix, index_t item, index_t row, index_t column, float value) {
  const index_t at = item * matrix.item_stride + row * matrix.row_stride + column;
  if (matrix.dtype == DType::f32) {
    static_cast<float*>(matrix.data)[at] = value;
  } else {
    static_cast<bf16*>(matrix.data)[at] = to_bf16(value);
  }
}

void multiply(const MatrixProduct& p) {
  const auto columns = static_cast<std::size_t>(p.columns);
  std::vector<float> right(static_cast<std::size_t>(p.inner) * columns), sum(columns);
  const ConstMatrix bias{p.bias, p.output.dtype, 0, 0};
  for (index_t b = 0; b < p.batch; ++b) {
    for (index_t k = 0; k < p.inner && (b == 0 || p.right.item_stride != 0); ++k) {
      for (index_t c = 0; c < p.columns; ++c) {
        right[static_cast<std::size_t>(k) * columns + static_cast<std::size_t>(c)] =
            p.right_transposed ? load(p.right, b, c, k) : load(p.right, b, k, c);
      }
    }
    for (index_t r = 0; r < p.rows; ++r) {
      sum.assign(columns, 0.f);
      for (index_t k = 0; k < p.inner; ++k) {
        const float factor = p.left_transposed ? load(p.left, b, k, r) : load(p.left, b, r, k);
        const float* row = right.data() + static_cast<std::size_t>(k) * columns;
        for (std::size_t c = 0; c < columns; ++c) sum[c] += factor * row[c];
      }
      for (index_t c = 0; c < p.columns; ++c) {
        float value = sum[static_cast<std::size_t>(c)];
        if (p.bias) value += load(bias, 0, 0, c);
        if (p.addend.data) value += load(p.addend, b, r, c);
        store(p.output, b, r, c, value);
      }
    }
  }
}

}  // namespace

index_t matrix_products() { return products; }

void matrix_product(Queue& queue, const MatrixProduct& product) {
  ++products;
  submit(queue, [product] { multiply(product); });
}

}  // namespace vitsnna::kernels::cuda
