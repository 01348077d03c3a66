// Benchmarks of the ops that multiply: linear layers and value norms.
#include "bench/op_bench.h"

namespace vitsnna::bench {
namespace {

void register_linear(Target& target, DType dtype, index_t items, index_t tokens) {
  const index_t width = target.sizes.width();
  const std::string size = size_name(dtype, items, tokens);
  const auto layer = [&](const char* detail, index_t in, index_t out, const auto& adjust) {
    register_op(target, joined({"linear", size, detail}), &Backend::linear, products_in(dtype),
                [=](Operands& operands) {
                  Linear args;
                  args.items = items;
                  args.rows = tokens;
                  args.input = operands.matrix(items, tokens, in, dtype);
                  args.weight = operands.weight(out, in, dtype, false);
                  args.bias = operands.floats(out);
                  args.output = operands.matrix(items, tokens, out, dtype);
                  adjust(operands, args);
                  return args;
                });
  };
  const auto residual = [=](Operands& operands, Linear& args) {
    args.output = operands.matrix(items, tokens, args.weight.outer(), DType::f32);
    args.residual = args.output;
  };
  const auto drop_path = [=](Operands& operands, Linear& args) {
    args.output = operands.matrix(items, tokens, args.weight.outer(), DType::f32);
    args.residual = operands.matrix(items, tokens, args.weight.outer(), DType::f32);
    args.factors.factors = operands.floats(items);
    args.factors.runs[0].rows_each = static_cast<std::uint32_t>(tokens);
  };
  constexpr index_t patch_pixels = 3 * 8 * 8;
  layer("patches", patch_pixels, width, [](Operands&, Linear&) {});
  layer("qkv", width, 3 * width, [](Operands&, Linear&) {});
  layer("projection", width, width, residual);
  layer("projection_drop_path", width, width, drop_path);
  layer("mlp_up_gelu", width, 4 * width,
        [](Operands&, Linear& args) { args.epilogue = Epilogue::gelu; });
  layer("mlp_down", 4 * width, width, residual);
  layer("mlp_down_input_gradient", width, 4 * width, [=](Operands& operands, Linear& args) {
    args.weight = operands.weight(width, 4 * width, dtype, true);
    args.bias = nullptr;
    args.epilogue = Epilogue::gelu_backward;
    args.auxiliary = operands.matrix(items, tokens, 4 * width, dtype);
    args.auxiliary_items = items;
  });
  layer("qkv_input_gradient", 3 * width, width, [=](Operands& operands, Linear& args) {
    args.weight = operands.weight(3 * width, width, dtype, true);
    args.bias = nullptr;
  });
  register_op(target, joined({"linear_weight_gradient", size, "qkv"}),
              &Backend::linear_weight_gradient, products_in(dtype), [=](Operands& operands) {
                LinearWeightGradient args;
                args.items = items;
                args.rows = tokens;
                args.in_features = width;
                args.out_features = 3 * width;
                args.input = operands.matrix(items, tokens, width, dtype, 1e-3f);
                args.output_gradient = operands.matrix(items, tokens, 3 * width, dtype, 1e-3f);
                args.weight_gradient = operands.floats(3 * width * width);
                args.bias_gradient = operands.floats(3 * width);
                return args;
              });
}

/// A backend that multiplies by a type's master weights has nothing to prepare in it.
void register_prepare(Target& target, DType dtype) {
  const index_t width = target.sizes.width();
  LinearWeight weight;
  weight.dtype = dtype;
  weight.out_features = 3 * width;
  weight.in_features = width;
  if (target.backend->linear_prepared_bytes(weight) == 0) return;
  register_op(target, joined({"prepare_linear", name_of(dtype), "qkv"}), &Backend::prepare_linear,
              Bound::memory, [=](Operands& operands) {
                const LinearWeight of = operands.weight(3 * width, width, dtype, false);
                auto* const preparation = operands.host<LinearPreparation>(1);
                *preparation = {of, const_cast<void*>(of.prepared)};
                return PrepareLinear{preparation, 1};
              });
}

void register_value_norm(Target& target, DType dtype, index_t tokens) {
  const index_t heads = target.sizes.heads, head_dim = target.sizes.head_dim;
  const index_t width = target.sizes.width();
  register_op(target, joined({"value_norm", size_name(dtype, 1, tokens)}), &Backend::value_norm,
              products_in(dtype), [=](Operands& operands) {
                ValueNorm args;
                args.rows = tokens;
                args.heads = heads;
                args.head_dim = head_dim;
                args.value = operands.matrix(1, tokens, width, dtype);
                args.projection = operands.weight(width, width, dtype, false);
                args.norm = operands.floats(tokens);
                return args;
              });
}

}  // namespace

void register_attention(Target& target);  // attention.cpp

void register_products(Target& target) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const index_t tokens : target.sizes.tokens) {
      for (const index_t items : target.sizes.items) register_linear(target, dtype, items, tokens);
      register_value_norm(target, dtype, tokens);
    }
    register_prepare(target, dtype);
  }
  register_attention(target);
}

}  // namespace vitsnna::bench
