// The sums of a warp's products: how a strip of 16 rows lies in its lanes, and how it is written.
//
// Sums lie as the D of mma.m16n8 (ptx.h) for either precision: of columns [8 n, 8 n + 8), lane
// 4 g + t has (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
#pragma once

#include "kernels/cuda/ptx.h"

namespace vitsnna::kernels::cuda {

/// fp32 sums of 16 rows x (8 * tiles) columns.
template <int tiles_>
struct StripSums {
  static constexpr int tiles = tiles_;
  float sum[tiles][4];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int n = 0; n < tiles; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[n][e] = 0.f;
    }
  }
  /// Row of the strip that element e (0 to 3) of every tile lies in, and its column in tile n.
  __device__ __forceinline__ static int row(int e) { return lane_index() / 4 + e / 2 * 8; }
  __device__ __forceinline__ static int column(int n, int e) {
    return n * 8 + lane_index() % 4 * 2 + e % 2;
  }
};

template <int tiles, int strips>
__device__ __forceinline__ void clear(StripSums<tiles> (&sums)[strips]) {
#pragma unroll
  for (int s = 0; s < strips; ++s) sums[s].clear();
}

/// Sum and maximum over the four lanes that share a row of sums.
__device__ __forceinline__ float row_sum(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}
__device__ __forceinline__ float row_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
  return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

/// Products of one warp (warp_product.h).
template <class Element>
struct WarpProduct;

/// One strip of several, as the array of strips that the warp's products take.
template <class Strip>
__device__ __forceinline__ Strip (&alone(Strip& strip))[1] {
  return reinterpret_cast<Strip(&)[1]>(strip);
}

/// Two neighbours of a row at once, rounded to nearest even; `to` is aligned for both.
__device__ __forceinline__ void store_pair(float* to, float low, float high) {
  *reinterpret_cast<float2*>(to) = make_float2(low, high);
}
__device__ __forceinline__ void store_pair(bf16* to, float low, float high) {
  struct alignas(4) Pair {
    bf16 low, high;
  };
  const unsigned packed = ptx::pack_bf16(low, high);
  *reinterpret_cast<Pair*>(to) = {{static_cast<std::uint16_t>(packed & 0xffffu)},
                                  {static_cast<std::uint16_t>(packed >> 16)}};
}

/// Where rows of results go: one head's columns of one item.
template <class Element>
struct StripTarget {
  Element* data = nullptr;  ///< first row, first column
  index_t row_stride = 0;
  index_t rows = 0;     ///< rows beyond are not written
  int columns = 0;      ///< columns beyond are not written; a multiple of 8
  bool aligned = true;  ///< pairs of elements lie on pair boundaries (rows_are_aligned)
};

/// Writes factor * sums to rows [first, first + 16) of `target`, rounded to its type.
template <class Element, int tiles>
__device__ __forceinline__ void store_strip(const StripSums<tiles>& sums, float factor,
                                            const StripTarget<Element>& target, index_t first) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const index_t row = first + StripSums<tiles>::row(2 * half);
    if (row >= target.rows) continue;
    Element* to = target.data + row * target.row_stride;
#pragma unroll
    for (int n = 0; n < tiles; ++n) {
      const int column = StripSums<tiles>::column(n, 0);
      if (n * 8 >= target.columns) continue;
      const float low = factor * sums.sum[n][2 * half], high = factor * sums.sum[n][2 * half + 1];
      if (target.aligned) {
        store_pair(to + column, low, high);
      } else {
        store_float(to + column, low);
        store_float(to + column + 1, high);
      }
    }
  }
}

/// Adds sums to rows [first, first + 16) of `to`, columns [column, column + 8 * tiles), as far as
/// there are `rows` and `columns`; other blocks may add there too, in any order.
template <int tiles>
__device__ __forceinline__ void add_strip(const StripSums<tiles>& sums, float* to,
                                          index_t row_stride, index_t first, index_t rows,
                                          int column, int columns) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const index_t row = first + StripSums<tiles>::row(2 * half);
    if (row >= rows) continue;
    float* start = to + row * row_stride + column;
#pragma unroll
    for (int n = 0; n < tiles; ++n) {
      if (column + n * 8 >= columns) continue;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        atomicAdd(start + StripSums<tiles>::column(n, e), sums.sum[n][2 * half + e]);
      }
    }
  }
}

}  // namespace vitsnna::kernels::cuda
