// The column sums of relevance chains inside key-stationary attention kernels (SPEC section 2,
// identities 1 and 2):
//   sum_c[h, j] = sum_i weight_c[h, i] A_hij max(G_hij, 0),  weight_c[h, i] = row_ci query_weight_c
//   output_cj   = row_cj + 1 / heads sum_h key_weight_c[h, j] sum_c[h, j]
#pragma once

#include "kernels/cuda/warp_product.h"
#include "kernels/queue.h"
#include "kernels/relevance.h"

namespace vitsnna::kernels::cuda {

/// Chains of one launch: they travel as a kernel argument.
constexpr int kMostChains = 16;

/// Kernel argument: some chains, ordered by their gradient, and their arrays in scratch.
struct ChainBatch {
  RelevanceChain chain[kMostChains];
  int count = 0;
  int most_of_a_gradient = 0;  ///< chains that share a gradient, at most
  float* weights = nullptr;    ///< (count, heads, padded queries)
  float* sums = nullptr;       ///< (count, heads, keys)
};

/// Chains [first, first + count) in the order of a batch; the arrays are left null. With
/// `by_gradient` false all chains belong together (G = 1).
ChainBatch chain_batch(const RelevanceRows& args, index_t first, bool by_gradient);
/// Weights of every query row, 0 in the padding.
void prepare_chains(const char* name, Queue& queue, const ChainBatch& chains, index_t heads,
                    index_t queries, index_t padded);
/// Outputs from the sums, heads in ascending order.
void finish_chains(const char* name, Queue& queue, const ChainBatch& chains, index_t heads,
                   index_t keys);

/// Chains that a gradient weighs: [first, first + count) of a batch.
struct ChainRange {
  int first = 0, count = 0;
};
__device__ __forceinline__ ChainRange chains_of_gradient(const ChainBatch& chains,
                                                         index_t gradient) {
  ChainRange range;
  for (int c = 0; c < chains.count; ++c) {
    if (chains.chain[c].gradient < gradient) ++range.first;
    if (chains.chain[c].gradient == gradient) ++range.count;
  }
  return range;
}

/// Chains that `labels` gradients which follow each other weigh, at most.
__host__ __device__ constexpr int most_chains(const ChainBatch& chains, int labels) {
  const int most = labels * chains.most_of_a_gradient;
  return most < chains.count ? most : chains.count;
}

/// The sums of a warp's keys: of each chain, strip and half of a strip one float a lane, in shared
/// memory because their number is known at run time only. A lane touches none but its own.
template <int warps, int strips>
class ChainSums {
 public:
  static constexpr int floats(int chains) { return chains * warps * strips * 2 * kWarpSize; }

  /// `memory` holds floats(chains); the warp clears its part.
  ChainSums() = default;
  __device__ __forceinline__ ChainSums(Shared<float> memory, int chains)
      : own_(memory + (warp_index() * strips * 2 * kWarpSize + lane_index())) {
    for (int k = 0; k < chains * strips * 2; ++k) {
      own_[k / (strips * 2) * chain_stride + k % (strips * 2) * kWarpSize] = 0.f;
    }
  }

  /// Adds a tile whose rows are the warp's keys and whose columns are queries:
  /// sum += weights A max(G, 0), or weights A with `gradient` 1. `weights` is of the first column.
  template <bool gradient_is_one, int tiles>
  __device__ __forceinline__ void add(int chain, Shared<float> weights,
                                      const StripSums<tiles> (&attention)[strips],
                                      const StripSums<tiles> (&gradient)[strips]) const {
    float sum[strips][2];
#pragma unroll
    for (int s = 0; s < strips; ++s) sum[s][0] = sum[s][1] = 0.f;
#pragma unroll
    for (int n = 0; n < tiles; ++n) {
      const float2 w = (weights + StripSums<tiles>::column(n, 0)).template as<float2>()[0];
#pragma unroll
      for (int s = 0; s < strips; ++s) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float product = attention[s].sum[n][e];
          if constexpr (!gradient_is_one) product *= fmaxf(gradient[s].sum[n][e], 0.f);
          sum[s][e / 2] = fmaf(e % 2 == 0 ? w.x : w.y, product, sum[s][e / 2]);
        }
      }
    }
#pragma unroll
    for (int s = 0; s < strips; ++s) {
#pragma unroll
      for (int half = 0; half < 2; ++half) at(chain, s, half) += sum[s][half];
    }
  }

  /// Writes the sums of `chain` to to[key - first_key], keys [first_key, ...) being the warp's, as
  /// far as there are keys.
  __device__ __forceinline__ void store(int chain, float* to, index_t first_key,
                                        index_t keys) const {
#pragma unroll
    for (int s = 0; s < strips; ++s) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = row_sum(at(chain, s, half));
        const index_t j = first_key + 16 * s + StripSums<1>::row(2 * half);
        if (lane_index() % 4 == 0 && j < keys) to[j] = sum;
      }
    }
  }

 private:
  static constexpr int chain_stride = warps * strips * 2 * kWarpSize;
  __device__ __forceinline__ decltype(auto) at(int chain, int strip, int half) const {
    return own_[chain * chain_stride + (strip * 2 + half) * kWarpSize];
  }

  Shared<float> own_;
};

}  // namespace vitsnna::kernels::cuda
