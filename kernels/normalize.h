// Rows scaled to a length: L2 normalisation of features, and weight normalisation, whose lengths
// are parameters. SPEC section 4 (the DINO head).
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// output_r = length_r x_r / max(|x_r|, epsilon).
struct NormalizeRows {
  index_t rows = 0;
  index_t columns = 0;
  const float* input = nullptr;   ///< (rows, columns)
  const float* length = nullptr;  ///< (rows), or null: 1
  float epsilon = 1e-12f;
  Matrix output;  ///< one item of (rows, columns), fp32 or bf16
};
inline const char* op_name(const NormalizeRows&) { return "normalize_rows"; }
inline double flops(const NormalizeRows& a) {
  return 3. * static_cast<double>(a.rows) * static_cast<double>(a.columns);
}
inline double bytes(const NormalizeRows& a) {
  return static_cast<double>(a.rows) * static_cast<double>(a.columns) *
         static_cast<double>(4 + size_of(a.output.dtype));
}

/// With u = x / max(|x|, epsilon): input_gradient (+)= length / max(|x|, epsilon) (dy - u (u .
/// dy)), length_gradient += u . dy. A row no longer than epsilon is scaled by a constant: its
/// second term is left out.
struct NormalizeRowsBackward {
  index_t rows = 0;
  index_t columns = 0;
  const float* input = nullptr;   ///< (rows, columns), the forward's
  const float* length = nullptr;  ///< (rows), or null: 1
  float epsilon = 1e-12f;
  const float* output_gradient = nullptr;  ///< (rows, columns)
  bool accumulate = true;                  ///< add to input_gradient or overwrite it
  float* input_gradient = nullptr;         ///< (rows, columns)
  float* length_gradient = nullptr;        ///< (rows), or null
};
inline const char* op_name(const NormalizeRowsBackward&) { return "normalize_rows_backward"; }
inline double flops(const NormalizeRowsBackward& a) {
  return 8. * static_cast<double>(a.rows) * static_cast<double>(a.columns);
}
inline double bytes(const NormalizeRowsBackward& a) {
  return (a.accumulate ? 16. : 12.) * static_cast<double>(a.rows) * static_cast<double>(a.columns);
}

}  // namespace vitsnna::kernels
