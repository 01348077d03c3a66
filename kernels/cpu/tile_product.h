// One matrix product on one thread: the building block of every op here that multiplies, on oneDNN
// (v2 and v3 alike; nothing else includes it).
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels::cpu {

/// How the right operand lies in memory.
enum class RightLayout : std::uint8_t {
  rows,     ///< (inner, columns), right_stride between rows
  columns,  ///< (columns, inner), right_stride between columns: the product is left * right^T
  packed,   ///< as pack_right wrote it; inner % 32 == 0 and columns % 64 == 0
};

/// output (rows, columns) fp32 (+)= left (rows, inner) * right (inner, columns). Strides count
/// elements.
struct TileShape {
  index_t rows = 0;
  index_t columns = 0;
  index_t inner = 0;
  index_t left_stride = 0;
  index_t right_stride = 0;
  index_t output_stride = 0;
  DType dtype = DType::f32;      ///< of both operands
  bool left_transposed = false;  ///< left lies as (inner, rows)
  RightLayout right = RightLayout::rows;
  bool accumulate = false;  ///< add to output

  bool operator==(const TileShape&) const = default;
};

/// Runs the product. The result's bits depend on the shape and the operands alone. `scratch` is
/// tile_product_scratch_bytes(shape) long, 64-byte aligned. Thread safe; call it on a thread whose
/// OpenMP regions have one thread (parallel_for sees to it).
void tile_product(const TileShape& shape, const void* left, const void* right, float* output,
                  void* scratch);
index_t tile_product_scratch_bytes(const TileShape& shape);

/// Whether a right operand of this extent can be packed, the bytes it then takes, and the packing
/// itself, from fp32 or `dtype` (inner, columns) or (columns, inner).
bool can_pack_right(DType dtype, index_t inner, index_t columns);
index_t packed_right_bytes(DType dtype, index_t inner, index_t columns);
void pack_right(DType dtype, index_t inner, index_t columns, const void* source, DType source_dtype,
                index_t source_stride, RightLayout source_layout, void* destination);

/// Whether the processor multiplies bf16 at full speed; elsewhere bf16 operands are widened first.
bool has_fast_bf16();

}  // namespace vitsnna::kernels::cpu
