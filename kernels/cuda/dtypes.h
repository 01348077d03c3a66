// From an operand's run-time DType to the element type that a kernel is compiled for.
#pragma once

#include <utility>

#include "kernels/bf16.h"
#include "kernels/types.h"

namespace vitsnna::kernels::cuda {

/// body.template operator()<float>() or <bf16>().
template <class Body>
void with_dtype(DType dtype, Body&& body) {
  if (dtype == DType::f32) {
    body.template operator()<float>();
  } else {
    body.template operator()<bf16>();
  }
}

}  // namespace vitsnna::kernels::cuda
