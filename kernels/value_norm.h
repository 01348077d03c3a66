// Norms of the transformed values v^_hj = v_hj W_O[h] (value bias in, output bias out): the weight
// of a token in SNNA. SPEC section 2, paper equation 5.
#pragma once

#include "kernels/linear.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

/// norm[i, j]             = || sum_h v^_hj ||_2            (items, rows)
/// norm_per_head[i, h, j] = || v^_hj ||_2                  (items, heads, rows)
/// Either destination may be null. With `scale`, v_hj is multiplied by scale[i, h, j] first: with
/// the CLS row of A^L this is || sum_h A^L_h0j v^_hj ||, the paper's attin. W_O[h] is columns
/// [h * head_dim, (h + 1) * head_dim) of `projection` (out, in). The product reads value and weight
/// in `projection.dtype`, which is also the value's own: a pass keeps values in the precision of
/// its model's products. The CPU converts a value of another type, CUDA refuses it by name.
struct ValueNorm {
  index_t items = 1;
  index_t rows = 0;
  index_t heads = 1;
  index_t head_dim = 64;
  ConstMatrix value;             ///< (items, rows, heads * head_dim)
  LinearWeight projection;       ///< (embed_dim, heads * head_dim), not transposed
  const float* scale = nullptr;  ///< (items, heads, rows), or null: 1
  float* norm = nullptr;
  float* norm_per_head = nullptr;
};
inline const char* op_name(const ValueNorm&) { return "value_norm"; }
inline double flops(const ValueNorm& a) {
  const double once = 2. * static_cast<double>(a.items * a.rows * a.heads * a.head_dim) *
                      static_cast<double>(a.projection.out_features);
  return once * ((a.norm ? 1. : 0.) + (a.norm_per_head ? 1. : 0.));
}
inline double bytes(const ValueNorm& a) {
  return static_cast<double>(a.items * a.rows * a.heads * a.head_dim * size_of(a.value.dtype));
}

}  // namespace vitsnna::kernels
