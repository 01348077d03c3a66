// The column sums of relevance chains, collected tile by tile (SPEC section 2, identities 1, 2).
#pragma once

#include "kernels/cpu/simd/vector_loops.h"
#include "kernels/queue.h"
#include "kernels/relevance.h"

namespace vitsnna::kernels::cpu {

/// sum_c[h, j] = sum_i row_ci query_weight_c[h, i] A_hij max(G_hij, 0). One thread may add to a
/// (head, key block) at a time, query blocks in ascending order.
class RelevanceSums {
 public:
  static index_t bytes(index_t heads, index_t queries, index_t keys, index_t chains) {
    return 4 * chains * heads * (queries + keys);
  }

  RelevanceSums() = default;
  /// `memory` is bytes() long.
  RelevanceSums(const RelevanceRows& args, index_t heads, index_t queries, index_t keys,
                float* memory);

  /// Row weights row_ci query_weight_c[h, i]; sums to zero.
  void prepare(const Queue& queue) const;
  /// Adds a tile of A whose first element is (first_query, first_key); `gradient_tile` is G of
  /// gradient `g` in the same geometry, or null. Chains of other gradients are left alone.
  void add(const ScoreTile& probability, const float* gradient_tile, index_t g, index_t head,
           index_t first_query, index_t first_key) const;
  /// output_cj = row_cj + 1 / heads sum_h key_weight_c[h, j] sum_c[h, j]
  void finish(const Queue& queue) const;

 private:
  const RelevanceRows* args_ = nullptr;
  index_t heads_ = 0, queries_ = 0, keys_ = 0;
  float* weights_ = nullptr;  // (chains, heads, queries)
  float* sums_ = nullptr;     // (chains, heads, keys)
};

}  // namespace vitsnna::kernels::cpu
