// Layer normalisation of rows and its gradients; statistics in fp32, recomputed in the backward.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// y = (x - mean) / sqrt(variance + epsilon) * gain + shift, per row; variance is the population's.
struct LayerNorm {
  index_t items = 1;
  index_t rows = 0;
  index_t columns = 0;
  ConstMatrix input;             ///< (items, rows, columns) fp32
  const float* gain = nullptr;   ///< (columns)
  const float* shift = nullptr;  ///< (columns)
  float epsilon = 1e-6f;
  Matrix output;                 ///< (items, rows, columns) fp32 or bf16
};
inline const char* op_name(const LayerNorm&) { return "layer_norm"; }
inline double flops(const LayerNorm& a) {
  return 8. * static_cast<double>(a.items * a.rows * a.columns);
}
inline double bytes(const LayerNorm& a) {
  return static_cast<double>(a.items * a.rows * a.columns * (4 + size_of(a.output.dtype)));
}

/// input_gradient (+)= dL/dx, gain_gradient += dL/dgain, shift_gradient += dL/dshift, given
/// dL/dy. Gradient item i belongs to input item i % input_items: several labels share one input.
struct LayerNormBackward {
  index_t items = 1;          ///< of the gradients
  index_t input_items = 1;
  index_t rows = 0;
  index_t columns = 0;
  ConstMatrix input;            ///< (input_items, rows, columns) fp32, the forward's
  const float* gain = nullptr;
  float epsilon = 1e-6f;
  ConstMatrix output_gradient;  ///< (items, rows, columns) fp32 or bf16
  bool accumulate = true;       ///< add to input_gradient (the residual's) or overwrite it
  Matrix input_gradient;        ///< (items, rows, columns) fp32
  float* gain_gradient = nullptr;   ///< (columns) or null
  float* shift_gradient = nullptr;  ///< (columns) or null
};
inline const char* op_name(const LayerNormBackward&) { return "layer_norm_backward"; }
inline double flops(const LayerNormBackward& a) {
  return 14. * static_cast<double>(a.items * a.rows * a.columns);
}
inline double bytes(const LayerNormBackward& a) {
  return static_cast<double>(a.items * a.rows * a.columns *
                             (12 + size_of(a.output_gradient.dtype)));
}

}  // namespace vitsnna::kernels
