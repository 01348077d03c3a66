// GELU of rows, by the same loop that a linear layer's epilogue uses.
#include <algorithm>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/vector_loops.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t chunk_columns = 512;

}  // namespace

void gelu(Queue& queue, const Gelu& a) {
  const VectorLoops& loops = vector_loops();
  for_row_blocks(
      queue, a.items, a.rows, rows_per_task, [&](index_t item, index_t first, index_t end, int) {
        float values[chunk_columns];  // the row may be its own output, and either side bf16
        for (index_t row = first; row < end; ++row) {
          for (index_t column = 0; column < a.columns; column += chunk_columns) {
            const index_t count = std::min(chunk_columns, a.columns - column);
            loops.convert(count, element(a.input, item, row, column), a.input.dtype, 1.f, values,
                          DType::f32);
            loops.gelu(count, values, values);
            loops.convert(count, values, DType::f32, 1.f, element(a.output, item, row, column),
                          a.output.dtype);
          }
        }
      });
}

}  // namespace vitsnna::kernels::cpu
