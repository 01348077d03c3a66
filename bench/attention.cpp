// Benchmarks of attention, forward and backward, and of the relevance that it carries.
#include "bench/op_bench.h"

namespace vitsnna::bench {
namespace {

/// Operands of one attention: query, key and value are thirds of one row, as the model has them.
struct Attention {
  ConstMatrix query, key, value;
  Matrix output;
  float* log_sum_exp;
  AttentionShape shape;

  Attention(Operands& operands, const Sizes& sizes, DType dtype, index_t items, index_t tokens,
            index_t queries) {
    const index_t width = sizes.width();
    const Matrix all = operands.matrix(items, tokens, 3 * width, dtype);
    const auto third = [&](index_t which) {
      ConstMatrix view = all;
      view.data = static_cast<const char*>(all.data) + which * width * size_of(dtype);
      return view;
    };
    query = third(0);
    key = third(1);
    value = third(2);
    output = operands.matrix(items, queries, width, dtype);
    log_sum_exp = operands.floats(items * sizes.heads * queries);
    shape = {items, sizes.heads, sizes.head_dim, queries, tokens};
  }
  AttentionForward forward() const {
    return {shape, query, key, value, output, log_sum_exp, nullptr, nullptr};
  }
};

/// One chain a label, weighted by a value norm, as of snna.
RelevanceChain* chains_of(Operands& operands, index_t labels, index_t tokens) {
  auto* chains = operands.host<RelevanceChain>(static_cast<std::size_t>(labels));
  for (index_t label = 0; label < labels; ++label) {
    chains[label].gradient = label;
    chains[label].row = operands.floats(tokens);
    chains[label].output = operands.floats(tokens);
    chains[label].key_weight = operands.floats(tokens);
  }
  return chains;
}

RelevanceRows relevance_of(Operands& operands, const Attention& attention, index_t labels,
                           const ConstMatrix& output_gradient) {
  RelevanceRows args;
  args.heads = attention.shape.heads;
  args.head_dim = attention.shape.head_dim;
  args.num_tokens = attention.shape.num_keys;
  args.gradients = labels;
  args.query = attention.query;
  args.key = attention.key;
  args.value = attention.value;
  args.log_sum_exp = attention.log_sum_exp;
  args.output_gradient = output_gradient;
  args.chains = chains_of(operands, labels, attention.shape.num_keys);
  args.num_chains = labels;
  return args;
}

struct BackwardCase {
  index_t items, labels, queries;
  bool capture;
};

void register_backward(Target& target, const std::string& name, DType dtype, index_t tokens,
                       const BackwardCase& one) {
  const Bound bound = one.queries == 1 ? Bound::memory : products_in(dtype);
  register_op(target, name, &Backend::attention_backward, bound, [=, &target](Operands& operands) {
    const index_t width = target.sizes.width(), sets = one.items * one.labels;
    const Attention attention(operands, target.sizes, dtype, one.items, tokens, one.queries);
    operands.run(target.backend->attention_forward, attention.forward());
    AttentionBackward args;
    args.shape = attention.shape;
    args.gradients = one.labels;
    args.query = attention.query;
    args.key = attention.key;
    args.value = attention.value;
    args.output = attention.output;
    args.log_sum_exp = attention.log_sum_exp;
    args.output_gradient = operands.matrix(sets, one.queries, width, dtype);
    args.query_gradient = operands.matrix(sets, one.queries, width, dtype);
    args.key_gradient = operands.matrix(sets, tokens, width, dtype);
    args.value_gradient = operands.matrix(sets, tokens, width, dtype);
    if (one.capture) {
      auto* capture = operands.host<RelevanceRows>(1);
      *capture = relevance_of(operands, attention, one.labels, args.output_gradient);
      args.capture = capture;
    }
    return args;
  });
}

void register_forward(Target& target, DType dtype, index_t items, index_t tokens) {
  const std::string size = size_name(dtype, items, tokens);
  for (const index_t queries : {tokens, index_t{1}}) {
    const bool cls = queries == 1;
    register_op(target, joined({"attention_forward", size, cls ? "cls" : ""}),
                &Backend::attention_forward, cls ? Bound::memory : products_in(dtype),
                [=, &target](Operands& operands) {
                  return Attention(operands, target.sizes, dtype, items, tokens, queries).forward();
                });
  }
}

void register_relevance(Target& target, DType dtype, index_t tokens, index_t labels) {
  register_op(target,
              joined({"relevance_rows", size_name(dtype, 1, tokens), std::to_string(labels)}),
              &Backend::relevance_rows, products_in(dtype), [=, &target](Operands& operands) {
                const Attention attention(operands, target.sizes, dtype, 1, tokens, tokens);
                operands.run(target.backend->attention_forward, attention.forward());
                return relevance_of(operands, attention, labels,
                                    operands.matrix(labels, tokens, target.sizes.width(), dtype));
              });
}

void register_cls_rows(Target& target, DType dtype, index_t tokens) {
  const std::string size = size_name(dtype, 1, tokens);
  register_op(target, joined({"attention_probabilities", size, "cls"}),
              &Backend::attention_probabilities, Bound::memory, [=, &target](Operands& operands) {
                const Attention attention(operands, target.sizes, dtype, 1, tokens, 1);
                return AttentionProbabilities{attention.shape, attention.query, attention.key,
                                              operands.floats(attention.shape.heads * tokens)};
              });
  register_op(target, joined({"attention_gradient", size, "cls"}), &Backend::attention_gradient,
              Bound::memory, [=, &target](Operands& operands) {
                const Attention attention(operands, target.sizes, dtype, 1, tokens, 1);
                AttentionGradient args;
                args.shape = attention.shape;
                args.value = attention.value;
                args.output_gradient = attention.output;
                args.attention_gradient = operands.floats(attention.shape.heads * tokens);
                return args;
              });
}

void register_relevance_cls_row(Target& target, index_t tokens) {
  register_op(target, joined({"relevance_cls_row", std::to_string(tokens)}),
              &Backend::relevance_cls_row, Bound::memory, [=, &target](Operands& operands) {
                RelevanceClsRow args;
                args.heads = target.sizes.heads;
                args.num_tokens = tokens;
                args.attention = operands.floats(args.heads * tokens);
                args.attention_gradient = operands.floats(args.heads * tokens);
                args.chains = chains_of(operands, 1, tokens);
                args.num_chains = 1;
                return args;
              });
}

}  // namespace

/// Backward: one clean image and one label, four labels of it, and (in training, and for the CLS
/// query alone in noisy passes) as many images as the target has at a time.
void register_attention(Target& target) {
  const index_t most_items = target.sizes.items.back();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const index_t tokens : target.sizes.attention_tokens) {
      for (const index_t items : target.sizes.items) register_forward(target, dtype, items, tokens);
      const std::string one = size_name(dtype, 1, tokens),
                        many = size_name(dtype, most_items, tokens);
      for (const index_t labels : {1, 4}) {
        const std::string detail = std::to_string(labels);
        register_backward(target, joined({"attention_backward", one, detail}), dtype, tokens,
                          {1, labels, tokens, false});
        register_backward(target, joined({"attention_backward_capture", one, detail}), dtype,
                          tokens, {1, labels, tokens, true});
        register_relevance(target, dtype, tokens, labels);
      }
      if (most_items > 1) {
        register_backward(target, joined({"attention_backward", many, "1"}), dtype, tokens,
                          {most_items, 1, tokens, false});
      }
      register_backward(target, joined({"attention_backward", many, "cls"}), dtype, tokens,
                        {most_items, 1, 1, false});
      register_cls_rows(target, dtype, tokens);
    }
  }
  for (const index_t tokens : target.sizes.attention_tokens) {
    register_relevance_cls_row(target, tokens);
  }
}

}  // namespace vitsnna::bench
