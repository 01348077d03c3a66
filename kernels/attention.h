// Multi-head scaled dot-product attention, forward and backward, in O(N) memory: scores exist only
// as tiles. SPEC sections 1, 2 and 3.
//
// Heads lie side by side in a row: head h of a query, key, value or output row is its columns
// [h * head_dim, (h + 1) * head_dim). Queries may be fewer than keys: the last block asks for the
// CLS query alone.
#pragma once

#include "kernels/relevance.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

struct AttentionShape {
  index_t items = 1;  ///< images
  index_t heads = 1;
  index_t head_dim = 64;    ///< any multiple of 8 up to 256 (CUDA: up to 128)
  index_t num_queries = 0;  ///< query rows of each item
  index_t num_keys = 0;     ///< key and value rows of each item
  double pairs() const {
    return static_cast<double>(items * heads) * static_cast<double>(num_queries) *
           static_cast<double>(num_keys);
  }
};

/// S = scale Q K^T; log_sum_exp_i = ln sum_j exp S_ij; A = exp(S - log_sum_exp);
/// A'_ij = A_ij * query_keep_i * key_keep_j (not renormalised, SPEC section 3); output = A' V.
/// scale = head_dim^-1/2.
struct AttentionForward {
  AttentionShape shape;
  ConstMatrix query;                       ///< (items, num_queries, heads * head_dim), fp32 or bf16
  ConstMatrix key;                         ///< (items, num_keys, heads * head_dim), same dtype
  ConstMatrix value;                       ///< (items, num_keys, heads * head_dim), same dtype
  Matrix output;                           ///< (items, num_queries, heads * head_dim), same dtype
  float* log_sum_exp = nullptr;            ///< (items, heads, num_queries), or null
  const std::uint8_t* key_keep = nullptr;  ///< (items, num_keys) of 0 or 1, or null: all kept
  const std::uint8_t* query_keep = nullptr;  ///< (items, num_queries) of 0 or 1, or null
};
inline const char* op_name(const AttentionForward&) { return "attention_forward"; }
inline double flops(const AttentionForward& a) {
  return 4. * a.shape.pairs() * static_cast<double>(a.shape.head_dim);
}
inline double bytes(const AttentionForward& a) {
  return 2. * static_cast<double>(a.shape.items * (a.shape.num_queries + a.shape.num_keys) *
                                  a.shape.heads * a.shape.head_dim * size_of(a.query.dtype));
}

/// Gradients of AttentionForward without masks. `gradients` output gradients share each item's
/// forward (the labels of an explanation): item i, gradient g is item i * gradients + g of every
/// gradient matrix, and the scores of a tile are computed once for all of them.
/// D_i = dO_i . O_i; G = dO V^T; dS = A * (G - D) * scale; dQ = dS K; dK = dS^T Q; dV = A^T dO.
/// The reduction order is fixed: same input, same bits, for any thread count, and each gradient's
/// are those of an op of its own. A caller may give that up with `deterministic` false (training
/// does not, so that a resumed run comes to the same bits): dQ may then be summed up in whatever
/// order blocks finish, so its last bits differ from run to run. CUDA does so for heads of up to 64
/// columns, without `capture` and from two query rows on (10 products of pairs and columns instead
/// of 14; 4 bytes of scratch an element of dQ); the CPU is always deterministic.
struct AttentionBackward {
  AttentionShape shape;
  index_t gradients = 1;
  ConstMatrix query, key, value;       ///< as in the forward
  ConstMatrix output;                  ///< the forward's output
  const float* log_sum_exp = nullptr;  ///< the forward's
  ConstMatrix output_gradient;         ///< (items * gradients, num_queries, heads * head_dim)
  Matrix query_gradient;               ///< (items * gradients, num_queries, ..), overwritten
  Matrix key_gradient;                 ///< (items * gradients, num_keys, ..), overwritten
  Matrix value_gradient;               ///< (items * gradients, num_keys, ..), overwritten
  /// Optional: the relevance rows of SPEC section 2, identity 2, out of the same tiles. Needs
  /// items == 1; the query, key, value and gradients of `capture` are not read (they are this
  /// op's own).
  const RelevanceRows* capture = nullptr;
  bool deterministic = true;
};
inline const char* op_name(const AttentionBackward& a) {
  return a.capture ? "attention_backward_capture" : "attention_backward";
}
inline double flops(const AttentionBackward& a) {
  return (2. + 8. * static_cast<double>(a.gradients)) * a.shape.pairs() *
         static_cast<double>(a.shape.head_dim);
}
inline double bytes(const AttentionBackward& a) {
  const auto row = static_cast<double>(a.shape.heads * a.shape.head_dim * size_of(a.query.dtype));
  const auto queries = static_cast<double>(a.shape.items * a.shape.num_queries);
  const auto keys = static_cast<double>(a.shape.items * a.shape.num_keys);
  const auto sets = static_cast<double>(a.gradients);
  return row * (queries * (2. + 2. * sets) + keys * (2. + 2. * sets));
}

/// A_ij of a few query rows (per-head maps, CLS rows): probabilities (items, heads, num_queries,
/// num_keys), fp32, each row summing to 1.
struct AttentionProbabilities {
  AttentionShape shape;
  ConstMatrix query, key;
  float* probabilities = nullptr;
};
inline const char* op_name(const AttentionProbabilities&) { return "attention_probabilities"; }
inline double flops(const AttentionProbabilities& a) {
  return 2. * a.shape.pairs() * static_cast<double>(a.shape.head_dim);
}
inline double bytes(const AttentionProbabilities& a) {
  return static_cast<double>(a.shape.items * a.shape.num_keys * a.shape.heads * a.shape.head_dim *
                             size_of(a.query.dtype)) +
         4. * a.shape.pairs();
}

/// G_ij = dO_i . v_j of a few query rows, exactly df/dA_ij before the softmax (SPEC section 2):
/// attention_gradient (items * gradients, heads, num_queries, num_keys), fp32. With `mean_items`
/// the result is (gradients, heads, num_queries, num_keys), ADDED to in item order with weight
/// `weight`: the smoothed gradient over noise samples, the same bits however samples are batched.
struct AttentionGradient {
  AttentionShape shape;
  index_t gradients = 1;
  ConstMatrix value;            ///< (items, num_keys, heads * head_dim)
  ConstMatrix output_gradient;  ///< (items * gradients, num_queries, heads * head_dim)
  float* attention_gradient = nullptr;
  bool mean_items = false;
  float weight = 1.f;
};
inline const char* op_name(const AttentionGradient&) { return "attention_gradient"; }
inline double flops(const AttentionGradient& a) {
  return 2. * a.shape.pairs() * static_cast<double>(a.gradients * a.shape.head_dim);
}
inline double bytes(const AttentionGradient& a) {
  return static_cast<double>(a.shape.items * a.shape.num_keys * a.shape.heads * a.shape.head_dim *
                             size_of(a.value.dtype)) +
         4. * a.shape.pairs() * static_cast<double>(a.gradients);
}

}  // namespace vitsnna::kernels
