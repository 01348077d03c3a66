// GELU on its own, for the backward that recomputes an MLP's hidden row from its pre-activation.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// output = gelu(input), gelu(t) = t (1 + erf(t / sqrt 2)) / 2; extents (items, rows, columns).
struct Gelu {
  index_t items = 1;
  index_t rows = 0;
  index_t columns = 0;
  ConstMatrix input;  ///< fp32 or bf16
  Matrix output;      ///< fp32 or bf16; may be `input` itself
};
inline const char* op_name(const Gelu&) { return "gelu"; }
inline double flops(const Gelu& a) {
  return 20. * static_cast<double>(a.items * a.rows * a.columns);
}
inline double bytes(const Gelu& a) {
  return static_cast<double>(a.items * a.rows * a.columns *
                             (size_of(a.input.dtype) + size_of(a.output.dtype)));
}

}  // namespace vitsnna::kernels
