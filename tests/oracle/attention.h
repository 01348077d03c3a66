// Oracles of attention and its gradients, with every N x N matrix written out. Dense (items, rows,
// heads * head_dim) operands.
#pragma once

#include <algorithm>

#include "kernels/attention.h"
#include "tests/oracle/values.h"

namespace vitsnna::oracle {

/// Indices into the dense operands of an attention op.
struct AttentionIndex {
  const kernels::AttentionShape& s;
  index_t query(index_t item, index_t head, index_t i, index_t d) const {
    return ((item * s.num_queries + i) * s.heads + head) * s.head_dim + d;
  }
  index_t key(index_t item, index_t head, index_t j, index_t d) const {
    return ((item * s.num_keys + j) * s.heads + head) * s.head_dim + d;
  }
  index_t row(index_t item, index_t head, index_t i) const {
    return (item * s.heads + head) * s.num_queries + i;
  }
  index_t pair(index_t item, index_t head, index_t i, index_t j) const {
    return row(item, head, i) * s.num_keys + j;
  }
  template <class Body>
  void for_rows(index_t items, const Body& body) const {
    for (index_t item = 0; item < items; ++item) {
      for (index_t head = 0; head < s.heads; ++head) {
        for (index_t i = 0; i < s.num_queries; ++i) body(item, head, i);
      }
    }
  }
};

struct Probabilities {
  Values attention;    ///< (items, heads, num_queries, num_keys)
  Values log_sum_exp;  ///< (items, heads, num_queries)
};

/// S_ij = q_i . k_j / sqrt(head_dim); A_ij = exp(S_ij) / sum_j exp(S_ij)
template <class T>
Probabilities probabilities(const kernels::AttentionShape& s, const Values& query,
                            const Values& key) {
  const AttentionIndex at_{s};
  Probabilities p{zeros(s.items * s.heads * s.num_queries * s.num_keys),
                  zeros(s.items * s.heads * s.num_queries)};
  const T scale = T(1) / std::sqrt(static_cast<T>(s.head_dim));
  at_.for_rows(s.items, [&](index_t item, index_t head, index_t i) {
    std::vector<T> scores;
    for (index_t j = 0; j < s.num_keys; ++j) {
      T score = 0;
      for (index_t d = 0; d < s.head_dim; ++d) {
        score += at<T>(query, at_.query(item, head, i, d)) * at<T>(key, at_.key(item, head, j, d));
      }
      scores.push_back(scale * score);
    }
    const T highest = *std::max_element(scores.begin(), scores.end());
    T sum = 0;
    for (const T score : scores) sum += std::exp(score - highest);
    put(p.log_sum_exp, at_.row(item, head, i), highest + std::log(sum));
    for (index_t j = 0; j < s.num_keys; ++j) {
      const T score = scores[static_cast<std::size_t>(j)];
      put(p.attention, at_.pair(item, head, i, j), std::exp(score - highest) / sum);
    }
  });
  return p;
}

/// output_i = sum_j A_ij query_keep_i key_keep_j v_j; an empty mask keeps everything.
template <class T>
Values attention_output(const kernels::AttentionShape& s, const Values& attention,
                        const Values& value, const Values& query_keep, const Values& key_keep,
                        DType dtype) {
  const AttentionIndex at_{s};
  Values output = zeros(s.items * s.num_queries * s.heads * s.head_dim);
  at_.for_rows(s.items, [&](index_t item, index_t head, index_t i) {
    const bool query_kept = query_keep.empty() || at(query_keep, item * s.num_queries + i) != 0.;
    for (index_t d = 0; d < s.head_dim; ++d) {
      T sum = 0;
      for (index_t j = 0; j < s.num_keys; ++j) {
        const bool kept = key_keep.empty() || at(key_keep, item * s.num_keys + j) != 0.;
        if (!kept || !query_kept) continue;
        sum += stored(at<T>(attention, at_.pair(item, head, i, j)), dtype) *
               at<T>(value, at_.key(item, head, j, d));
      }
      put(output, at_.query(item, head, i, d), stored(sum, dtype));
    }
  });
  return output;
}

/// G_ij = dO_i . v_j, (items * gradients, heads, num_queries, num_keys)
template <class T>
Values attention_gradient(const kernels::AttentionShape& s, index_t gradients, const Values& value,
                          const Values& output_gradient) {
  const AttentionIndex at_{s};
  Values result = zeros(s.items * gradients * s.heads * s.num_queries * s.num_keys);
  at_.for_rows(s.items * gradients, [&](index_t set, index_t head, index_t i) {
    for (index_t j = 0; j < s.num_keys; ++j) {
      T sum = 0;
      for (index_t d = 0; d < s.head_dim; ++d) {
        sum += at<T>(output_gradient, at_.query(set, head, i, d)) *
               at<T>(value, at_.key(set / gradients, head, j, d));
      }
      put(result, at_.pair(set, head, i, j), sum);
    }
  });
  return result;
}

struct AttentionGradients {
  Values query, key, value;
};

/// D_i = dO_i . O_i; dS = A (G - D) / sqrt(head_dim); dQ = dS K; dK = dS^T Q; dV = A^T dO
template <class T>
AttentionGradients attention_backward(const kernels::AttentionShape& s, index_t gradients,
                                      const Values& query, const Values& key, const Values& value,
                                      const Values& output, const Values& output_gradient,
                                      DType dtype) {
  const AttentionIndex at_{s};
  const Values attention = probabilities<T>(s, query, key).attention;
  const Values gradient = attention_gradient<T>(s, gradients, value, output_gradient);
  const index_t sets = s.items * gradients, width = s.heads * s.head_dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(s.head_dim));
  AttentionGradients result{zeros(sets * s.num_queries * width), zeros(sets * s.num_keys * width),
                            zeros(sets * s.num_keys * width)};
  at_.for_rows(sets, [&](index_t set, index_t head, index_t i) {
    const index_t item = set / gradients;
    T inner = 0;
    for (index_t d = 0; d < s.head_dim; ++d) {
      inner += at<T>(output_gradient, at_.query(set, head, i, d)) *
               at<T>(output, at_.query(item, head, i, d));
    }
    for (index_t j = 0; j < s.num_keys; ++j) {
      const T a = at<T>(attention, at_.pair(item, head, i, j));
      const T score =
          stored(a * (at<T>(gradient, at_.pair(set, head, i, j)) - inner) * scale, dtype);
      const auto add = [](Values& to, index_t index, T value_) {
        put(to, index, at<T>(to, index) + value_);
      };
      for (index_t d = 0; d < s.head_dim; ++d) {
        const index_t q = at_.query(set, head, i, d), k = at_.key(set, head, j, d);
        add(result.query, q, score * at<T>(key, at_.key(item, head, j, d)));
        add(result.key, k, score * at<T>(query, at_.query(item, head, i, d)));
        add(result.value, k, stored(a, dtype) * at<T>(output_gradient, q));
      }
    }
  });
  for (Values* values : {&result.query, &result.key, &result.value}) {
    for (double& v : *values) v = static_cast<double>(stored(static_cast<T>(v), dtype));
  }
  return result;
}

/// One relevance chain with dense weights; empty weights are 1.
struct Chain {
  index_t gradient = 0;
  Values row;           ///< (num_tokens)
  Values query_weight;  ///< (heads, num_tokens) or empty
  Values key_weight;    ///< (heads, num_tokens), (num_tokens) or empty
};

/// output_j = row_j + 1/heads sum_h key_weight_hj sum_i row_i query_weight_hi A_hij relu(G_hij)
/// with attention and gradient (gradients,) (heads, queries, num_tokens); an empty gradient is 1.
template <class T>
Values relevance(const Chain& chain, const Values& attention, const Values& gradient, index_t heads,
                 index_t queries, index_t num_tokens) {
  Values output;
  for (index_t j = 0; j < num_tokens; ++j) {
    T total = 0;
    for (index_t h = 0; h < heads; ++h) {
      T sum = 0;
      for (index_t i = 0; i < queries; ++i) {
        const index_t pair = (h * queries + i) * num_tokens + j;
        T g = 1;
        if (!gradient.empty()) {
          g = std::max(at<T>(gradient, chain.gradient * heads * queries * num_tokens + pair), T(0));
        }
        const T weight =
            chain.query_weight.empty() ? T(1) : at<T>(chain.query_weight, h * num_tokens + i);
        sum += at<T>(chain.row, i) * weight * at<T>(attention, pair) * g;
      }
      const auto& w = chain.key_weight;
      const bool per_head = static_cast<index_t>(w.size()) == heads * num_tokens;
      total += sum * (w.empty() ? T(1) : at<T>(w, (per_head ? h * num_tokens : 0) + j));
    }
    output.push_back(at<T>(chain.row, j) + total / static_cast<T>(heads));
  }
  return output;
}

}  // namespace vitsnna::oracle
