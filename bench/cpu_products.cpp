// Benchmarks of the ops that multiply: linear layers, attention, relevance, value norms.
#include "bench/op_bench.h"

namespace vitsnna::bench {
namespace {

constexpr index_t heads = 6, head_dim = 64, width = heads * head_dim;

std::string named(const char* op, DType dtype, index_t tokens, const std::string& detail = "") {
  return std::string(op) + "/" + name_of(dtype) + "/" + std::to_string(tokens) +
         (detail.empty() ? "" : "/" + detail);
}

void register_linear(DType dtype, index_t tokens) {
  const auto layer = [&](const char* detail, index_t in, index_t out, const auto& adjust) {
    register_op(named("linear", dtype, tokens, detail), &Backend::linear, products_in(dtype),
                [=](Operands& operands) {
                  Linear args;
                  args.rows = tokens;
                  args.input = operands.matrix(1, tokens, in, dtype);
                  args.weight = operands.weight(out, in, dtype, false);
                  args.bias = operands.floats(out);
                  args.output = operands.matrix(1, tokens, out, dtype);
                  adjust(operands, args);
                  return args;
                });
  };
  const auto residual = [=](Operands& operands, Linear& args) {
    args.output = operands.matrix(1, tokens, args.weight.outer(), DType::f32);
    args.accumulate = true;
  };
  layer("qkv", width, 3 * width, [](Operands&, Linear&) {});
  layer("projection", width, width, residual);
  layer("mlp_up_gelu", width, 4 * width,
        [](Operands&, Linear& args) { args.epilogue = Epilogue::gelu; });
  layer("mlp_down", 4 * width, width, residual);
  layer("mlp_down_input_gradient", width, 4 * width, [=](Operands& operands, Linear& args) {
    args.weight = operands.weight(width, 4 * width, dtype, true);
    args.bias = nullptr;
    args.epilogue = Epilogue::gelu_backward;
    args.auxiliary = operands.matrix(1, tokens, 4 * width, dtype);
    args.auxiliary_items = 1;
  });
  layer("qkv_input_gradient", 3 * width, width, [=](Operands& operands, Linear& args) {
    args.weight = operands.weight(3 * width, width, dtype, true);
    args.bias = nullptr;
  });
  register_op(named("linear_weight_gradient", dtype, tokens, "qkv"),
              &Backend::linear_weight_gradient, products_in(dtype), [=](Operands& operands) {
                LinearWeightGradient args;
                args.rows = tokens;
                args.in_features = width;
                args.out_features = 3 * width;
                args.input = operands.matrix(1, tokens, width, dtype, 1e-3f);
                args.output_gradient = operands.matrix(1, tokens, 3 * width, dtype, 1e-3f);
                args.weight_gradient = operands.floats(3 * width * width);
                args.bias_gradient = operands.floats(3 * width);
                return args;
              });
  register_op(named("prepare_linear", dtype, tokens, "qkv"), &Backend::prepare_linear,
              Bound::memory, [=](Operands& operands) {
                PrepareLinear args{operands.weight(3 * width, width, dtype, false)};
                args.destination = const_cast<void*>(args.weight.prepared);
                return args;
              });
}

/// Query, key and value as thirds of one row, as the model has them.
struct Attention {
  ConstMatrix query, key, value;
  Matrix output;
  float* log_sum_exp;
  AttentionShape shape;

  Attention(Operands& operands, DType dtype, index_t tokens, index_t queries) {
    const Matrix all = operands.matrix(1, tokens, 3 * width, dtype);
    const auto third = [&](index_t which) {
      ConstMatrix view = all;
      view.data = static_cast<const char*>(all.data) + which * width * size_of(dtype);
      return view;
    };
    query = third(0);
    key = third(1);
    value = third(2);
    output = operands.matrix(1, queries, width, dtype);
    log_sum_exp = operands.floats(heads * queries);
    shape = {1, heads, head_dim, queries, tokens};
  }
  AttentionForward forward() const {
    return {shape, query, key, value, output, log_sum_exp, nullptr, nullptr};
  }
};

Attention after_forward(Operands& operands, DType dtype, index_t tokens) {
  const Attention attention(operands, dtype, tokens, tokens);
  Queue queue;
  const auto& op = cpu_backend().attention_forward;
  queue.scratch_bytes = op.scratch_for(queue, attention.forward());
  queue.scratch = operands.take((queue.scratch_bytes + 3) / 4, DType::f32);
  op(queue, attention.forward());
  return attention;
}

void register_attention(DType dtype, index_t tokens) {
  for (const index_t queries : {tokens, index_t{1}}) {
    register_op(named("attention_forward", dtype, tokens, queries == 1 ? "cls" : ""),
                &Backend::attention_forward, products_in(dtype), [=](Operands& operands) {
                  return Attention(operands, dtype, tokens, queries).forward();
                });
  }
  for (const index_t gradients : {1, 4}) {
    register_op(named("attention_backward", dtype, tokens, std::to_string(gradients)),
                &Backend::attention_backward, products_in(dtype), [=](Operands& operands) {
                  const Attention attention = after_forward(operands, dtype, tokens);
                  AttentionBackward args;
                  args.shape = attention.shape;
                  args.gradients = gradients;
                  args.query = attention.query;
                  args.key = attention.key;
                  args.value = attention.value;
                  args.output = attention.output;
                  args.log_sum_exp = attention.log_sum_exp;
                  args.output_gradient = operands.matrix(gradients, tokens, width, dtype);
                  args.query_gradient = operands.matrix(gradients, tokens, width, dtype);
                  args.key_gradient = operands.matrix(gradients, tokens, width, dtype);
                  args.value_gradient = operands.matrix(gradients, tokens, width, dtype);
                  return args;
                });
    register_op(named("relevance_rows", dtype, tokens, std::to_string(gradients)),
                &Backend::relevance_rows, products_in(dtype), [=](Operands& operands) {
                  const Attention attention = after_forward(operands, dtype, tokens);
                  RelevanceRows args;
                  args.heads = heads;
                  args.head_dim = head_dim;
                  args.num_tokens = tokens;
                  args.gradients = gradients;
                  args.query = attention.query;
                  args.key = attention.key;
                  args.value = attention.value;
                  args.log_sum_exp = attention.log_sum_exp;
                  args.output_gradient = operands.matrix(gradients, tokens, width, dtype);
                  static RelevanceChain chains[4];
                  for (index_t c = 0; c < gradients; ++c) {
                    chains[c] = {};
                    chains[c].gradient = c;
                    chains[c].row = operands.floats(tokens);
                    chains[c].output = operands.floats(tokens);
                    chains[c].key_weight = operands.floats(tokens);
                  }
                  args.chains = chains;
                  args.num_chains = gradients;
                  return args;
                });
  }
  register_op(named("attention_probabilities", dtype, tokens, "cls"),
              &Backend::attention_probabilities, Bound::memory, [=](Operands& operands) {
                const Attention attention(operands, dtype, tokens, 1);
                return AttentionProbabilities{attention.shape, attention.query, attention.key,
                                              operands.floats(heads * tokens)};
              });
  register_op(named("attention_gradient", dtype, tokens, "cls"), &Backend::attention_gradient,
              Bound::memory, [=](Operands& operands) {
                const Attention attention(operands, dtype, tokens, 1);
                AttentionGradient args;
                args.shape = attention.shape;
                args.value = attention.value;
                args.output_gradient = attention.output;
                args.attention_gradient = operands.floats(heads * tokens);
                return args;
              });
  register_op(named("value_norm", dtype, tokens), &Backend::value_norm, products_in(dtype),
              [=](Operands& operands) {
                ValueNorm args;
                args.rows = tokens;
                args.heads = heads;
                args.head_dim = head_dim;
                args.value = Attention(operands, dtype, tokens, 1).value;
                args.projection = operands.weight(width, width, dtype, false);
                args.norm = operands.floats(tokens);
                return args;
              });
}

}  // namespace

void register_products() {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const index_t tokens : {index_t{785}, index_t{3601}}) {
      register_linear(dtype, tokens);
      register_attention(dtype, tokens);
    }
  }
  for (const index_t tokens : {index_t{785}, index_t{3601}}) {
    register_op("relevance_cls_row/" + std::to_string(tokens), &Backend::relevance_cls_row,
                Bound::memory, [=](Operands& operands) {
                  RelevanceClsRow args;
                  args.heads = heads;
                  args.num_tokens = tokens;
                  args.attention = operands.floats(heads * tokens);
                  args.attention_gradient = operands.floats(heads * tokens);
                  static RelevanceChain chain;
                  chain = {};
                  chain.row = operands.floats(tokens);
                  chain.output = operands.floats(tokens);
                  args.chains = &chain;
                  args.num_chains = 1;
                  return args;
                });
  }
}

}  // namespace vitsnna::bench
