// Linear layers: one matrix product with its bias, then the epilogue that it cannot do itself.
//
// A GELU layer's product is written with its bias where the layer keeps it anyway (the
// pre-activation, or else the output), and one pass over it applies the epilogue; a product whose
// rows have factors is written to the output, and one pass adds it to the residual. Only where the
// output is the residual itself does such a product need memory of its own.
#include "kernels/linear.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/matrix_product.h"
#include "kernels/cuda/ops.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr index_t alignment = 64;
constexpr index_t round_up(index_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

bool is_empty(const Linear& args) {
  return args.items == 0 || args.rows == 0 || args.weight.outer() == 0;
}

/// Whether something follows the product that cuBLASLt cannot do.
bool has_pass_behind(const Linear& args) {
  return args.epilogue != Epilogue::none || (args.residual.data && args.factors.factors);
}

/// Whether the product needs memory of its own: the output holds what is added to, and nothing else
/// takes it.
bool has_own_product(const Linear& args) {
  if (args.residual.data != args.output.data || !has_pass_behind(args)) return false;
  return args.epilogue != Epilogue::gelu || !args.pre_activation.data;
}

/// Where the product with its bias is written; `scratch` is used where has_own_product.
Matrix product_of(const Linear& args, void* scratch) {
  if (args.epilogue == Epilogue::gelu && args.pre_activation.data) return args.pre_activation;
  if (!has_own_product(args)) return args.output;
  const index_t columns = args.weight.outer();
  return {scratch, DType::f32, args.rows * columns, columns};
}

/// cuBLASLt adds a bias of the product's type at a 16-byte boundary: others are copied first.
bool must_stage_bias(const Linear& args, const Matrix& product) {
  return args.bias &&
         (product.dtype != DType::f32 || reinterpret_cast<std::uintptr_t>(args.bias) % 16 != 0);
}

index_t own_product_bytes(const Linear& args) {
  return has_own_product(args) ? round_up(4 * args.items * args.rows * args.weight.outer()) : 0;
}

/// The rows of all items as rows of one, where both operands' follow each other; items of one row
/// are rows that follow whatever lies between them.
LinearWeightGradient with_joined_items(LinearWeightGradient args) {
  const auto follow = [&](const ConstMatrix& matrix) {
    return args.rows == 1 || matrix.item_stride == args.rows * matrix.row_stride;
  };
  if (args.items == 1 || !follow(args.input) || !follow(args.output_gradient)) return args;
  for (ConstMatrix* matrix : {&args.input, &args.output_gradient}) {
    if (args.rows == 1) matrix->row_stride = matrix->item_stride;
  }
  args.rows *= args.items;
  args.items = 1;
  return args;
}

}  // namespace

index_t linear_prepared_bytes(const LinearWeight& weight) {
  return weight.dtype == DType::f32 ? 0 : 2 * weight.out_features * weight.in_features;
}

void prepare_linear(Queue& queue, const PrepareLinear& args) {
  std::vector<Rounding> roundings;
  for (index_t k = 0; k < args.count; ++k) {
    const auto& [weight, destination] = args.preparations[k];
    if (linear_prepared_bytes(weight) == 0) continue;
    roundings.push_back(
        {weight.master, static_cast<bf16*>(destination), weight.out_features * weight.in_features});
  }
  round_all(queue, roundings);
}

index_t linear_scratch(const Queue&, const Linear& args) {
  if (is_empty(args)) return 0;
  // Whether a bias lies at a boundary is not known yet where an op is only planned.
  return own_product_bytes(args) + (args.bias ? round_up(4 * args.weight.outer()) : 0);
}

void linear(Queue& queue, const Linear& args) {
  if (is_empty(args)) return;
  const LinearWeight& weight = args.weight;
  const Matrix target = product_of(args, queue.scratch);
  MatrixProduct product;
  product.batch = args.items;
  product.rows = args.rows;
  product.columns = weight.outer();
  product.inner = weight.inner();
  product.left = args.input;
  product.right = {weight.dtype == DType::f32 ? weight.master : weight.prepared, weight.dtype, 0,
                   weight.in_features};
  product.right_transposed = !weight.transposed;
  if (!has_pass_behind(args)) product.addend = args.residual;
  product.output = target;
  product.bias = args.bias;
  if (must_stage_bias(args, target)) {
    void* staged = static_cast<std::byte*>(queue.scratch) + own_product_bytes(args);
    cast(queue, args.bias, staged, target.dtype, weight.outer());
    product.bias = staged;
  }
  matrix_product(queue, product);
  if (has_pass_behind(args)) linear_epilogue(queue, args, target);
}

index_t linear_weight_gradient_scratch(const Queue&, const LinearWeightGradient& args) {
  return args.bias_gradient ? bias_gradient_scratch(args) : 0;
}

void linear_weight_gradient(Queue& queue, const LinearWeightGradient& wanted) {
  if (wanted.items == 0 || wanted.rows == 0 || wanted.out_features == 0) return;
  const LinearWeightGradient args = with_joined_items(wanted);
  if (args.bias_gradient) bias_gradient(queue, args, static_cast<float*>(queue.scratch));
  if (!args.weight_gradient || args.in_features == 0) return;
  // dW (+)= dY^T X, an item after the other where they could not be joined.
  MatrixProduct product;
  product.rows = args.out_features;
  product.columns = args.in_features;
  product.inner = args.rows;
  product.left = args.output_gradient;
  product.left_transposed = true;
  product.right = args.input;
  product.may_split_inner = true;
  product.output = {args.weight_gradient, DType::f32, args.out_features * args.in_features,
                    args.in_features};
  product.addend = product.output;
  const auto advance = [](ConstMatrix& matrix) {
    matrix.data =
        static_cast<const std::byte*>(matrix.data) + matrix.item_stride * size_of(matrix.dtype);
  };
  for (index_t item = 0; item < args.items; ++item) {
    matrix_product(queue, product);
    advance(product.left);
    advance(product.right);
  }
}

}  // namespace vitsnna::kernels::cuda
