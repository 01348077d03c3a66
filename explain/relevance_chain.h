// Rows of relevance chains, carried from block to block. SPEC section 2, identity 1. Private to
// explain/.
#pragma once

#include <vector>

#include "explain/explain_context.h"

namespace vitsnna::explain {

/// How the attention of a block is weighted in C_l.
enum class ChainWeight : std::uint8_t {
  none,        ///< genericatt
  key_norm,    ///< || sum_h v^_hj || of the key (paper)
  query_norm,  ///< || v^_hi || per head of the query (released code)
};

/// One chain a (weight, label), all advanced together over the same attention tiles. Every row
/// starts as e_0 (the CLS token).
class RelevanceChains {
 public:
  RelevanceChains(const ExplainContext& context, std::vector<ChainWeight> weights, index_t labels);

  bool empty() const { return weights_.empty(); }

  /// Advances over a block of which only the CLS query's rows carry relevance. `attention`
  /// (heads, tokens); `gradient` (labels, heads, tokens), or none for rollout.
  void cls_step(const model::ForwardPass& forward, index_t block, const Tensor& attention,
                const Tensor& gradient);

  /// Advances over a block by the two-product kernel; `output_gradient` none for rollout.
  void full_step(const model::ForwardPass& forward, index_t block, const Tensor& output_gradient);

  /// The step over a block as rows for an attention backward to capture; the chains advance when
  /// the next step is asked for, or by finish().
  const kernels::RelevanceRows* capture(const model::ForwardPass& forward, index_t block);
  void finish();

  /// Copies the rows of a weight position, one a label, to `destination` (labels, tokens).
  void copy_rows(std::size_t weight, const Tensor& destination) const;

 private:
  void weigh(const model::ForwardPass& forward, index_t block);
  void describe();

  const ExplainContext& context_;
  std::vector<ChainWeight> weights_;
  index_t labels_;
  Tensor rows_, next_rows_;  ///< (weights * labels, tokens)
  Tensor key_norm_;          ///< (tokens)
  Tensor query_norm_;        ///< (heads, tokens)
  std::vector<kernels::RelevanceChain> chains_;
  kernels::RelevanceRows captured_;
  bool pending_ = false;
};

}  // namespace vitsnna::explain
