// Linear layers: y = x W^T + b with what follows it fused, its gradients, and the one-time
// preparation of a weight for a backend.
#pragma once

#include "kernels/row_factors.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

/// A weight as a backend wants it for products. `master` is the fp32 parameter, row-major
/// (out_features, in_features); `prepared` is the backend's own copy (cast, transposed, packed),
/// or null where the backend multiplies by `master` directly.
struct LinearWeight {
  const float* master = nullptr;
  const void* prepared = nullptr;
  DType dtype = DType::f32;  ///< type in which the product reads the weight
  bool transposed = false;   ///< true: the product is x W instead of x W^T (gradient of the input)
  index_t out_features = 0;  ///< rows of `master`
  index_t in_features = 0;   ///< columns of `master`
  bool few_rows = false;     ///< x has so few rows that no copy in the same type pays
  index_t inner() const { return transposed ? out_features : in_features; }
  index_t outer() const { return transposed ? in_features : out_features; }
};

/// A weight and where its prepared copy goes, linear_prepared_bytes() long.
struct LinearPreparation {
  LinearWeight weight;
  void* destination = nullptr;
};

/// Fills every `destination` from its `weight.master`. Repeat it when masters change.
struct PrepareLinear {
  const LinearPreparation* preparations = nullptr;  ///< host memory, free when the op returns
  index_t count = 0;
};
inline const char* op_name(const PrepareLinear&) { return "prepare_linear"; }
inline double flops(const PrepareLinear&) { return 0; }
inline double bytes(const PrepareLinear& a) {
  double sum = 0.;
  for (index_t k = 0; k < a.count; ++k) {
    const LinearWeight& weight = a.preparations[k].weight;
    sum += static_cast<double>(weight.out_features) * static_cast<double>(weight.in_features) *
           (4. + static_cast<double>(size_of(weight.dtype)));
  }
  return sum;
}

enum class Epilogue : std::uint8_t {
  none,           ///< y = x W^T + b
  gelu,           ///< y = gelu(x W^T + b), gelu(t) = t (1 + erf(t / sqrt 2)) / 2 (SPEC section 1)
  gelu_backward,  ///< y = (x W^T) * gelu'(auxiliary), auxiliary the layer's pre-activation
};

/// y[i, r, :] = [residual[i, r, :] + factor_ir *] epilogue(x[i, r, :] W^T + bias), i < items,
/// r < rows. Sums in fp32. A row's bits depend on that row, the weight and `rows`, never on `items`
/// or the thread count.
struct Linear {
  index_t items = 1;
  index_t rows = 0;   ///< rows of each item
  ConstMatrix input;  ///< (items, rows, weight.inner()), dtype == weight.dtype
  LinearWeight weight;
  const float* bias = nullptr;  ///< (weight.outer()), or null
  Epilogue epilogue = Epilogue::none;
  /// Optional, (items, rows, outer) fp32: the residual stream, which the layer adds to. `output` is
  /// then fp32; it may be this very matrix, else they do not overlap.
  ConstMatrix residual;
  RowFactors factors;           ///< of what is added to `residual` (drop path)
  Matrix output;                ///< (items, rows, weight.outer()), fp32 or bf16
  Matrix pre_activation;        ///< optional with `gelu`: x W^T + b is kept here, same extents
  ConstMatrix auxiliary;        ///< with `gelu_backward`: (auxiliary_items, rows, outer)
  index_t auxiliary_items = 0;  ///< item i reads auxiliary item i % auxiliary_items
};
inline const char* op_name(const Linear&) { return "linear"; }
inline double flops(const Linear& a) {
  return 2. * static_cast<double>(a.items * a.rows) * static_cast<double>(a.weight.inner()) *
         static_cast<double>(a.weight.outer());
}
inline double bytes(const Linear& a) {
  const auto rows = static_cast<double>(a.items * a.rows);
  return rows * static_cast<double>(a.weight.inner() * size_of(a.input.dtype) +
                                    a.weight.outer() *
                                        (size_of(a.output.dtype) + (a.residual.data ? 4 : 0))) +
         static_cast<double>(a.weight.out_features * a.weight.in_features *
                             size_of(a.weight.dtype));
}

/// weight_gradient[o, k] += sum_{i,r} output_gradient[i, r, o] input[i, r, k];
/// bias_gradient[o] += sum_{i,r} output_gradient[i, r, o]. Either destination may be null.
struct LinearWeightGradient {
  index_t items = 1;
  index_t rows = 0;
  index_t out_features = 0;
  index_t in_features = 0;
  ConstMatrix input;                 ///< (items, rows, in_features), fp32 or bf16
  ConstMatrix output_gradient;       ///< (items, rows, out_features), same dtype as `input`
  float* weight_gradient = nullptr;  ///< (out_features, in_features)
  float* bias_gradient = nullptr;    ///< (out_features)
};
inline const char* op_name(const LinearWeightGradient&) { return "linear_weight_gradient"; }
inline double flops(const LinearWeightGradient& a) {
  return 2. * static_cast<double>(a.items * a.rows) * static_cast<double>(a.out_features) *
         static_cast<double>(a.in_features);
}
inline double bytes(const LinearWeightGradient& a) {
  return static_cast<double>(a.items * a.rows) *
             static_cast<double>((a.out_features + a.in_features) * size_of(a.input.dtype)) +
         8. * static_cast<double>(a.out_features) * static_cast<double>(a.in_features);
}

}  // namespace vitsnna::kernels
