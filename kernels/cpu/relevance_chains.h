// The column sums of relevance chains, collected tile by tile (SPEC section 2, identities 1, 2).
#pragma once

#include "kernels/cpu/simd/vector_loops.h"
#include "kernels/queue.h"
#include "kernels/relevance.h"

namespace vitsnna::kernels::cpu {

/// minus the log-sum-exp of a query that is padding: its probabilities are 0
constexpr float no_probability = -1e30f;

/// sum_c[h, j] = sum_i row_ci query_weight_c[h, i] A_hij max(G_hij, 0). One thread may add to a
/// (head, key block) at a time, query blocks in ascending order. Tiles are keys x queries.
class RelevanceSums {
 public:
  static index_t bytes(index_t heads, index_t padded_queries, index_t keys, index_t chains) {
    return 4 * chains * heads * (padded_queries + keys);
  }

  RelevanceSums() = default;
  /// `memory` is bytes() long.
  RelevanceSums(const RelevanceRows& args, index_t heads, index_t queries, index_t padded_queries,
                index_t keys, float* memory);

  /// Row weights row_ci query_weight_c[h, i], 0 in the padding; sums to zero.
  void prepare(const Queue& queue) const;
  /// Adds a tile of A^T whose first element is (first_key, first_query); `gradient_tile` is G^T of
  /// gradient `g` in the same geometry, or null. Chains of other gradients are left alone. With
  /// `shift` the tile holds scores still: A_ij = 2^(scale_log2e S_ij + shift_i), which replace them
  /// if `keep_probabilities`.
  void add(const ScoreTile& tile, const float* gradient_tile, index_t g, index_t head,
           index_t first_query, index_t first_key, float scale_log2e = 0.f,
           const float* shift = nullptr, bool keep_probabilities = false) const;
  /// output_cj = row_cj + 1 / heads sum_h key_weight_c[h, j] sum_c[h, j]
  void finish() const;

 private:
  const RelevanceRows* args_ = nullptr;
  index_t heads_ = 0, queries_ = 0, padded_queries_ = 0, keys_ = 0;
  float* weights_ = nullptr;  // (chains, heads, padded queries)
  float* sums_ = nullptr;     // (chains, heads, keys)
};

}  // namespace vitsnna::kernels::cpu
