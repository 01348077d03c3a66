// GELU of rows.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/row_loops.h"

namespace vitsnna::kernels::cpu {

void gelu(Queue& queue, const Gelu& a) {
  const RowLoops& loops = row_loops();
  for_row_blocks(queue, a.items, a.rows, rows_per_task,
                 [&](index_t item, index_t first, index_t end, int) {
                   for (index_t row = first; row < end; ++row) {
                     loops.gelu(element(a.input, item, row, 0), a.input.dtype, a.columns,
                                element(a.output, item, row, 0), a.output.dtype);
                   }
                 });
}

}  // namespace vitsnna::kernels::cpu
