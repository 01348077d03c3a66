// One layer of the relevance chain as a vector: the row r of e_0 (C_1 + I)(C_2 + I).. is all a map
// needs, so nothing N x N is ever stored. SPEC section 2, identities 1 and 2.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// Several chains over the same attention, e.g. genericatt and snna of one label. For chain c:
///   output_cj = row_cj + key_weight_c[h, j] / heads * sum_h sum_i row_ci * query_weight_c[h, i]
///                        * A_hij * max(G_hij, 0)          (key_weight inside the sum over h)
/// with A the attention after softmax and G = dO V^T. A null weight is 1.
struct RelevanceChain {
  index_t gradient = 0;                 ///< which of the `gradients` (label) gives G
  const float* row = nullptr;           ///< (num_queries == num_keys) r before this layer
  float* output = nullptr;              ///< (num_keys) r after this layer; not `row`
  const float* query_weight = nullptr;  ///< (heads, num_queries) or null
  const float* key_weight = nullptr;    ///< (heads, num_keys), or (num_keys) shared by all heads
  bool key_weight_per_head = false;
};

/// The two-product relevance kernel of one layer of one image: S = Q K^T once per tile for all
/// chains, G = dO V^T once per tile and gradient. With `output_gradient.data` null, G and its ReLU
/// are left out (G = 1: attention rollout). Fixed reduction order.
struct RelevanceRows {
  index_t heads = 1;
  index_t head_dim = 64;
  index_t num_tokens = 0;
  index_t gradients = 1;
  ConstMatrix query, key, value;       ///< (1, num_tokens, heads * head_dim), one dtype
  const float* log_sum_exp = nullptr;  ///< (heads, num_tokens), the forward's
  ConstMatrix output_gradient;         ///< (gradients, num_tokens, heads * head_dim)
  const RelevanceChain* chains = nullptr;  ///< host memory, read before the launch returns
  index_t num_chains = 0;
};
inline const char* op_name(const RelevanceRows&) { return "relevance_rows"; }
inline double flops(const RelevanceRows& a) {
  const auto pairs = static_cast<double>(a.heads) * static_cast<double>(a.num_tokens) *
                     static_cast<double>(a.num_tokens);
  const double products = a.output_gradient.data ? 1. + static_cast<double>(a.gradients) : 1.;
  return 2. * pairs * static_cast<double>(a.head_dim) * products;
}
inline double bytes(const RelevanceRows& a) {
  return static_cast<double>((3 + a.gradients) * a.num_tokens * a.heads * a.head_dim *
                             size_of(a.query.dtype));
}

/// The same step when only query row 0 carries relevance (first layer of the paper's order, last
/// block): attention (heads, N) and attention_gradient (gradients, heads, N) of the CLS row are
/// given, e.g. by AttentionProbabilities and AttentionGradient. row_c0 alone is read as the
/// weight of the sum; output = row + the layer's contribution as above. With
/// `attention_gradient` null, G = 1 without ReLU.
struct RelevanceClsRow {
  index_t heads = 1;
  index_t num_tokens = 0;
  const float* attention = nullptr;
  const float* attention_gradient = nullptr;
  const RelevanceChain* chains = nullptr;
  index_t num_chains = 0;
};
inline const char* op_name(const RelevanceClsRow&) { return "relevance_cls_row"; }
inline double flops(const RelevanceClsRow& a) {
  return 4. * static_cast<double>(a.heads * a.num_tokens * a.num_chains);
}
inline double bytes(const RelevanceClsRow& a) {
  return 8. * static_cast<double>(a.heads * a.num_tokens * a.num_chains);
}

}  // namespace vitsnna::kernels
