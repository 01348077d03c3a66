// The one matrix product of the CUDA backend: cuBLASLt (matrix_product_cublaslt.cpp) on a GPU, a
// plain loop in the host's SIMT layer.
#pragma once

#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// output[b](r, c) = [addend[b](r, c) +] sum_k left[b](r, k) right[b](k, c) + bias[c],
/// b < batch, r < rows, c < columns, k < inner; sums in true fp32 (never TF32).
struct MatrixProduct {
  index_t batch = 1;
  index_t rows = 0;
  index_t columns = 0;
  index_t inner = 0;
  ConstMatrix left;               ///< fp32 or bf16
  ConstMatrix right;              ///< the type of `left`; item_stride 0: one for the whole batch
  bool left_transposed = false;   ///< `left` is stored as (inner, rows)
  bool right_transposed = false;  ///< `right` is stored as (columns, inner)
  ConstMatrix addend;          ///< of the type of `output`, and may be it; null data: none
  const void* bias = nullptr;  ///< (columns), in the type of `output`; or null
  Matrix output;               ///< fp32; or bf16 when `left` is
  /// False: a row's bits depend on neither `batch` nor the rows beside it. True: the inner extent
  /// may be summed in parts (in a fixed order), for the few long sums of a weight's gradient.
  bool may_split_inner = false;
};

void matrix_product(Queue& queue, const MatrixProduct& product);

}  // namespace vitsnna::kernels::cuda
