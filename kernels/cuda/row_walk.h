// How an element-wise kernel walks strided rows: a block takes a run of columns of one row, so that
// only 32-bit block numbers are divided, and rows without gaps between them become one long row.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vectors.h"

namespace vitsnna::kernels::cuda {

struct RowWalk {
  unsigned rows = 1;           ///< of an item
  unsigned column_blocks = 1;  ///< blocks of a row
  index_t columns = 0;
};

struct Place {
  index_t item, row, column;
};

/// The first of the `width` columns of this thread; it may lie beyond the row's end.
__device__ __forceinline__ Place place_of_thread(const RowWalk& walk, int width) {
  const unsigned row = blockIdx.x / walk.column_blocks;
  const unsigned block = blockIdx.x - row * walk.column_blocks;
  const unsigned item = row / walk.rows;
  const index_t chunk = static_cast<index_t>(block) * blockDim.x + threadIdx.x;
  return {item, row - item * walk.rows, chunk * width};
}

struct Extents {
  index_t items, rows, columns;
};

/// Rows, then items, that follow each other without a gap in every operand become one row. A null
/// operand fits anything.
template <class... AnyMatrix>
void join_rows(Extents& e, AnyMatrix&... matrices) {
  if (e.rows == 1 || ((!matrices.data || matrices.row_stride == e.columns) && ...)) {
    e.columns *= e.rows;
    e.rows = 1;
    ((matrices.row_stride = 0), ...);
    if (e.items == 1 || ((!matrices.data || matrices.item_stride == e.columns) && ...)) {
      e.columns *= e.items;
      e.items = 1;
      ((matrices.item_stride = 0), ...);
    }
  }
}

/// Whether every operand allows `width` columns at once.
template <class... AnyMatrix>
bool moves_at_once(int width, index_t columns, const AnyMatrix&... matrices) {
  return columns % width == 0 && (aligned_for(width, matrices) && ...);
}

/// Fills in the walk and says how to launch it.
inline LaunchShape shape_of(const char* name, const Extents& e, int width, RowWalk& walk) {
  const index_t chunks = ceil_div(e.columns, width);
  const index_t warps = ceil_div(chunks, kWarpSize);
  const int threads = static_cast<int>(warps < 8 ? (warps > 1 ? warps : 1) : 8) * kWarpSize;
  const unsigned column_blocks = grid_extent(name, chunks, threads);
  walk = {grid_extent(name, e.rows), column_blocks, e.columns};
  return {dim3(grid_extent(name, e.items * e.rows * column_blocks)), threads, 0};
}

}  // namespace vitsnna::kernels::cuda
