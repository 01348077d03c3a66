// Products of one warp on strips of 16 rows, in which attention is written: bf16 on tensor cores,
// fp32 in exact fused multiply-adds, both with the same accumulators.
//
//   scores:      S(16 x n)     += A(16 x depth) B(n x depth)^T    A: a strip, B: rows of a tile
//   accumulate:  O(16 x depth) += P(16 x k) B(k x depth)          P: a Strip of sums, B: a tile
//
// Sums lie as the D of mma.m16n8 (ptx.h) for either precision: of columns [8 n, 8 n + 8), lane
// 4 g + t has (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1). So P is the sums of an earlier
// `scores` after whatever was done to them element by element, and never leaves the warp.
//
// A warp may own several strips: each fragment of B is then read once for all of them, which is
// what halves the shared memory traffic, the narrowest pipe of a 16-row strip (docs/KERNELS.md).
// Every sum is added up in ascending order of depth or k, whatever the number of strips.
#pragma once

#include "kernels/cuda/tile.h"

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

template <class Element>
struct WarpProduct;

template <>
struct WarpProduct<bf16> {
  /// A operand in registers: 16 rows of a tile, read once.
  template <int depth_>
  struct RegisterStrip {
    static constexpr int depth = depth_;
    static_assert(depth % 16 == 0);
    unsigned fragment[depth / 16][4];

    RegisterStrip() = default;
    /// Rows [row, row + 16) of the tile, row a multiple of 8.
    __device__ __forceinline__ RegisterStrip(const SharedTile<bf16, depth>& tile, int row) {
#pragma unroll
      for (int k = 0; k < depth / 16; ++k) load_a(fragment[k], tile, row, k);
    }
    __device__ __forceinline__ void read(unsigned (&a)[4], int k) const {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = fragment[k][i];
    }
  };

  /// A operand read from its tile at every use: no registers held.
  template <int depth_>
  struct SharedStrip {
    static constexpr int depth = depth_;
    SharedTile<bf16, depth> tile;
    int row = 0;

    SharedStrip() = default;
    __device__ __forceinline__ SharedStrip(const SharedTile<bf16, depth>& from, int first)
        : tile(from), row(first) {}
    __device__ __forceinline__ void read(unsigned (&a)[4], int k) const { load_a(a, tile, row, k); }
  };

  /// What `accumulate` needs beside registers to hand P from lane to lane: nothing.
  template <int k>
  struct Staging {
    static constexpr int bytes_per_warp = 0;
    __device__ __forceinline__ static Staging take(SharedMemory&, int /*warps*/, int /*warp*/) {
      return {};
    }
  };

  /// sums[s] += A[s] B^T, B the rows [first, first + 8 * tiles) of the tile, first a multiple of 8.
  template <class Strip, int tiles, int strips>
  __device__ __forceinline__ static void scores(StripSums<tiles> (&sums)[strips],
                                                const Strip (&a)[strips],
                                                const SharedTile<bf16, Strip::depth>& tile,
                                                int first) {
    static_assert(tiles % 2 == 0);
    // Matrices of an ldmatrix: (rows, depth) (0.., 0..) (0.., 8..) (8.., 0..) (8.., 8..).
    const int lane = lane_index(), row = first + lane / 16 * 8 + lane % 8;
    const int column = lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < Strip::depth / 16; ++k) {
      unsigned rows[strips][4];
#pragma unroll
      for (int s = 0; s < strips; ++s) a[s].read(rows[s], k);
#pragma unroll
      for (int n = 0; n < tiles; n += 2) {
        unsigned b[4];
        ptx::load_matrix_x4(b, tile.chunk(row + n * 8, k * 16 + column));
#pragma unroll
        for (int s = 0; s < strips; ++s) {
          ptx::mma_m16n8k16(sums[s].sum[n], rows[s], b[0], b[1]);
          ptx::mma_m16n8k16(sums[s].sum[n + 1], rows[s], b[2], b[3]);
        }
      }
    }
  }

  /// sums[s] += P[s] B, B the rows [first, first + 8 * steps) of the tile, first a multiple of 8;
  /// P is rounded to bf16.
  template <int steps, int depth, int strips>
  __device__ __forceinline__ static void accumulate(StripSums<depth / 8> (&sums)[strips],
                                                    const StripSums<steps> (&p)[strips],
                                                    const Staging<steps * 8>&,
                                                    const SharedTile<bf16, depth>& tile,
                                                    int first) {
    static_assert(steps % 2 == 0);
    // Matrices of a transposed ldmatrix: (rows, columns) (0.., 0..) (8.., 0..) (0.., 8..)
    // (8.., 8..).
    const int lane = lane_index(), row = first + lane % 16, column = lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < steps; k += 2) {
      unsigned a[strips][4];
#pragma unroll
      for (int s = 0; s < strips; ++s) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float(&pair)[4] = p[s].sum[k + i / 2];
          a[s][i] = ptx::pack_bf16(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
        }
      }
#pragma unroll
      for (int n = 0; n < depth / 8; n += 2) {
        unsigned b[4];
        ptx::load_matrix_x4_transposed(b, tile.chunk(row + k * 8, n * 8 + column));
#pragma unroll
        for (int s = 0; s < strips; ++s) {
          ptx::mma_m16n8k16(sums[s].sum[n], a[s], b[0], b[1]);
          ptx::mma_m16n8k16(sums[s].sum[n + 1], a[s], b[2], b[3]);
        }
      }
    }
  }

 private:
  /// Matrices of the ldmatrix: (rows, depth) (0.., 0..) (8.., 0..) (0.., 8..) (8.., 8..).
  template <int depth>
  __device__ __forceinline__ static void load_a(unsigned (&a)[4],
                                                const SharedTile<bf16, depth>& tile, int row,
                                                int k) {
    const int lane = lane_index();
    ptx::load_matrix_x4(a, tile.chunk(row + lane % 16, k * 16 + lane / 16 * 8));
  }
};

template <>
struct WarpProduct<float> {
  /// A operand: rows of a tile, read at every use (in registers a strip would be 2 * depth floats a
  /// lane).
  template <int depth_>
  struct SharedStrip {
    static constexpr int depth = depth_;
    SharedTile<float, depth> tile;
    int row = 0;

    SharedStrip() = default;
    __device__ __forceinline__ SharedStrip(const SharedTile<float, depth>& from, int first)
        : tile(from), row(first) {}
  };
  template <int depth>
  using RegisterStrip = SharedStrip<depth>;

  /// A strip of 16 x k in shared memory, one a warp, through which `accumulate` hands P from the
  /// lanes that computed it to those that need its row.
  template <int k>
  struct Staging {
    static constexpr int bytes_per_warp = SharedTile<float, k>::bytes(16);
    SharedTile<float, k> tile;
    __device__ __forceinline__ static Staging take(SharedMemory& memory, int warps, int warp) {
      return {SharedTile<float, k>::take(memory, 16 * warps).from_row(16 * warp)};
    }
  };

  template <class Strip, int tiles, int strips>
  __device__ __forceinline__ static void scores(StripSums<tiles> (&sums)[strips],
                                                const Strip (&a)[strips],
                                                const SharedTile<float, Strip::depth>& tile,
                                                int first) {
    const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll(Strip::depth > 96 ? 1 : 2)
    for (int k = 0; k < Strip::depth; k += 4) {
      float4 rows[strips][2];
#pragma unroll
      for (int s = 0; s < strips; ++s) {
        rows[s][0] = four(a[s].tile, a[s].row + g, k);
        rows[s][1] = four(a[s].tile, a[s].row + g + 8, k);
      }
#pragma unroll
      for (int n = 0; n < tiles; ++n) {
        const float4 b0 = four(tile, first + n * 8 + 2 * t, k);
        const float4 b1 = four(tile, first + n * 8 + 2 * t + 1, k);
#pragma unroll
        for (int s = 0; s < strips; ++s) {
          float(&sum)[4] = sums[s].sum[n];
          add_products(sum[0], rows[s][0], b0);
          add_products(sum[1], rows[s][0], b1);
          add_products(sum[2], rows[s][1], b0);
          add_products(sum[3], rows[s][1], b1);
        }
      }
    }
  }

  template <int steps, int depth, int strips>
  __device__ __forceinline__ static void accumulate(StripSums<depth / 8> (&sums)[strips],
                                                    const StripSums<steps> (&p)[strips],
                                                    const Staging<steps * 8>& staging,
                                                    const SharedTile<float, depth>& tile,
                                                    int first) {
    const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
    for (int s = 0; s < strips; ++s) {  // one strip at a time passes through the staging strip
      __syncwarp();                     // the lanes have read what was there
#pragma unroll
      for (int n = 0; n < steps; ++n) {
        staging.tile(g, n * 8 + 2 * t) = p[s].sum[n][0];
        staging.tile(g, n * 8 + 2 * t + 1) = p[s].sum[n][1];
        staging.tile(g + 8, n * 8 + 2 * t) = p[s].sum[n][2];
        staging.tile(g + 8, n * 8 + 2 * t + 1) = p[s].sum[n][3];
      }
      __syncwarp();
#pragma unroll 1
      for (int k = 0; k < steps * 8; k += 4) {
        const float4 upper = four(staging.tile, g, k), lower = four(staging.tile, g + 8, k);
        const float a[4][2] = {
            {upper.x, lower.x}, {upper.y, lower.y}, {upper.z, lower.z}, {upper.w, lower.w}};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
          for (int n = 0; n < depth / 8; ++n) {
            const float2 b = two(tile, first + k + j, n * 8 + 2 * t);
            float(&sum)[4] = sums[s].sum[n];
            sum[0] = fmaf(a[j][0], b.x, sum[0]);
            sum[1] = fmaf(a[j][0], b.y, sum[1]);
            sum[2] = fmaf(a[j][1], b.x, sum[2]);
            sum[3] = fmaf(a[j][1], b.y, sum[3]);
          }
        }
      }
    }
  }

 private:
  template <int columns>
  __device__ __forceinline__ static float4 four(const SharedTile<float, columns>& tile, int row,
                                                int column) {
    return tile.chunk(row, column).template as<float4>()[0];
  }
  /// Two neighbours, column even.
  template <int columns>
  __device__ __forceinline__ static float2 two(const SharedTile<float, columns>& tile, int row,
                                               int column) {
    return (tile.chunk(row, column & ~3) + (column & 2)).template as<float2>()[0];
  }
  __device__ __forceinline__ static void add_products(float& sum, const float4& a,
                                                      const float4& b) {
    sum = fmaf(a.x, b.x, sum);
    sum = fmaf(a.y, b.y, sum);
    sum = fmaf(a.z, b.z, sum);
    sum = fmaf(a.w, b.w, sum);
  }
};

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

}  // namespace vitsnna::kernels::cuda
