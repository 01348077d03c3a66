// Copies, conversions and sums of rows.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/row_loops.h"

namespace vitsnna::kernels::cpu {

void copy_rows(Queue& queue, const CopyRows& a) {
  const RowLoops& loops = row_loops();
  for_row_blocks(
      queue, a.items, a.rows, rows_per_task, [&](index_t item, index_t first, index_t end, int) {
        for (index_t row = first; row < end; ++row) {
          const void* source = a.source.data ? element(a.source, item, row, 0) : nullptr;
          loops.copy(source, a.source.dtype, a.columns, a.factors.of(item * a.rows + row),
                     a.accumulate, element(a.destination, item, row, 0), a.destination.dtype);
        }
      });
}

}  // namespace vitsnna::kernels::cpu
