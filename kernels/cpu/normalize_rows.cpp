// Rows scaled to a length, and the gradients of that.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/vector_loops.h"

namespace vitsnna::kernels::cpu {
namespace {

float norm(const float* row, index_t columns) {
  return std::sqrt(vector_loops().dot(columns, row, row, DType::f32));
}

float length_of(const float* length, index_t row) { return length ? length[row] : 1.f; }

}  // namespace

void normalize_rows(Queue& queue, const NormalizeRows& a) {
  for_row_blocks(queue, 1, a.rows, rows_per_task, [&](index_t, index_t first, index_t end, int) {
    for (index_t row = first; row < end; ++row) {
      const float* input = a.input + row * a.columns;
      const float factor = length_of(a.length, row) / std::max(norm(input, a.columns), a.epsilon);
      vector_loops().convert(a.columns, input, DType::f32, factor, element(a.output, 0, row, 0),
                             a.output.dtype);
    }
  });
}

void normalize_rows_backward(Queue& queue, const NormalizeRowsBackward& a) {
  for_row_blocks(queue, 1, a.rows, rows_per_task, [&](index_t, index_t first, index_t end, int) {
    for (index_t row = first; row < end; ++row) {
      const float* x = a.input + row * a.columns;
      const float* dy = a.output_gradient + row * a.columns;
      float* dx = a.input_gradient + row * a.columns;
      const float length = norm(x, a.columns);
      const float inverse = 1.f / std::max(length, a.epsilon);
      const float along = vector_loops().dot(a.columns, x, dy, DType::f32) * inverse;  // u . dy
      if (a.length_gradient) a.length_gradient[row] += along;
      const float factor = length_of(a.length, row) * inverse;
      const float back = length > a.epsilon ? along * inverse : 0.f;
      for (index_t c = 0; c < a.columns; ++c) {
        const float gradient = factor * (dy[c] - x[c] * back);
        dx[c] = a.accumulate ? dx[c] + gradient : gradient;
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
