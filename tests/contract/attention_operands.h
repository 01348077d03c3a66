// Operands that the attention and the relevance contracts share.
#pragma once

#include <string>

#include "tests/contract/check.h"
#include "tests/oracle/attention.h"

namespace vitsnna::contract {

using kernels::AttentionBackward;
using kernels::AttentionShape;

inline std::string text(const AttentionShape& s) {
  return std::to_string(s.items) + " items, " + std::to_string(s.heads) + " heads of " +
         std::to_string(s.head_dim) + ", " + std::to_string(s.num_queries) + " queries, " +
         std::to_string(s.num_keys) + " keys";
}

/// items, heads, head_dim, num_queries, num_keys
inline const AttentionShape attention_shapes[] = {
    {1, 1, 8, 1, 1},    {2, 3, 32, 2, 2},     {3, 1, 64, 33, 33},
    {1, 2, 96, 33, 33}, {1, 2, 64, 197, 197}, {3, 2, 32, 1, 197},
    {2, 2, 8, 7, 33},   {1, 1, 8, 140, 530},  {1, 1, 128, 40, 70}};

struct AttentionOperands {
  Values query, key, value;
};

/// Scores of a few units: rows of A from flat to peaked.
inline AttentionOperands random_operands(const AttentionShape& s, DType dtype) {
  const index_t width = s.heads * s.head_dim;
  return {random_values(s.items * s.num_queries * width, 1, dtype, 2.),
          random_values(s.items * s.num_keys * width, 2, dtype, 2.),
          random_values(s.items * s.num_keys * width, 3, dtype)};
}

/// The third of a query-key-value buffer: rows three times as wide as what is read.
inline Layout third(index_t items, index_t rows, index_t width, DType dtype) {
  return {items, rows, width, 2 * width, 7, storage_of(dtype)};
}

struct BackwardOperands {
  AttentionOperands forward;
  Values output, log_sum_exp, output_gradient;
};

inline BackwardOperands backward_operands(const AttentionShape& s, index_t gradients, DType dtype) {
  BackwardOperands v;
  v.forward = random_operands(s, dtype);
  const auto p = oracle::probabilities<double>(s, v.forward.query, v.forward.key);
  v.log_sum_exp = p.log_sum_exp;
  v.output = oracle::rounded(
      oracle::attention_output<double>(s, p.attention, v.forward.value, {}, {}, dtype), dtype);
  v.output_gradient =
      random_values(s.items * gradients * s.num_queries * s.heads * s.head_dim, 6, dtype);
  return v;
}

inline Outputs backward(const Subject& subject, const AttentionShape& s, index_t gradients,
                        const BackwardOperands& v, const kernels::RelevanceRows* capture,
                        int threads, bool deterministic = true) {
  const index_t width = s.heads * s.head_dim, sets = s.items * gradients;
  const DType dtype = subject.precision;
  const auto query =
      Operand::input(subject, third(s.items, s.num_queries, width, dtype), v.forward.query);
  const auto key = Operand::input(subject, third(s.items, s.num_keys, width, dtype), v.forward.key);
  const auto value =
      Operand::input(subject, third(s.items, s.num_keys, width, dtype), v.forward.value);
  const auto output =
      Operand::input(subject, strided(s.items, s.num_queries, width, dtype), v.output);
  const auto sums =
      Operand::input(subject, dense(s.items * s.heads * s.num_queries), v.log_sum_exp);
  const auto slope =
      Operand::input(subject, strided(sets, s.num_queries, width, dtype), v.output_gradient);
  const auto dq = Operand::output(subject, third(sets, s.num_queries, width, dtype));
  const auto dk = Operand::output(subject, third(sets, s.num_keys, width, dtype));
  const auto dv = Operand::output(subject, third(sets, s.num_keys, width, dtype));
  AttentionBackward a;
  a.shape = s;
  a.gradients = gradients;
  a.query = query.matrix();
  a.key = key.matrix();
  a.value = value.matrix();
  a.output = output.matrix();
  a.log_sum_exp = sums.floats();
  a.output_gradient = slope.matrix();
  a.query_gradient = dq.matrix();
  a.key_gradient = dk.matrix();
  a.value_gradient = dv.matrix();
  a.capture = capture;
  a.deterministic = deterministic;
  launch(subject, subject.backend->attention_backward, a, threads);
  return {dq.values(), dk.values(), dv.values()};
}

}  // namespace vitsnna::contract
