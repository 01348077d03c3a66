// The kernels around the matrix product of a linear layer.
#pragma once

#include <span>

#include "kernels/bf16.h"
#include "kernels/linear.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// destination[k] = source[k], rounded to `dtype`: a bias made ready for a product.
void cast(Queue& queue, const float* source, void* destination, DType dtype, index_t count);

/// destination[k] = source[k], k < count.
struct Rounding {
  const float* source = nullptr;
  bf16* destination = nullptr;
  index_t count = 0;
};
/// All of them in a launch for every 64; `roundings` may go when it returns.
void round_all(Queue& queue, std::span<const Rounding> roundings);

/// What follows the product of `args` when cuBLASLt cannot do it, in one pass: with t the product
/// (bias included), output = [residual + factor *] t, gelu(t) or t gelu'(auxiliary). `product` may
/// be the output itself, unless that is the residual.
void linear_epilogue(Queue& queue, const Linear& args, const ConstMatrix& product);

/// bias_gradient[o] += sum of output_gradient over items and rows: sums of parts of the rows into
/// `partial` (bias_gradient_scratch), then those in their order.
index_t bias_gradient_scratch(const LinearWeightGradient& args);
void bias_gradient(Queue& queue, const LinearWeightGradient& args, float* partial);

}  // namespace vitsnna::kernels::cuda
