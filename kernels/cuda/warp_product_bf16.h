// The warp's products of warp_product.h in bf16, on tensor cores.
#pragma once

#include "kernels/cuda/strip_sums.h"
#include "kernels/cuda/tile.h"

namespace vitsnna::kernels::cuda {

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

  /// Rounds sums to rows [row, row + 16) of the tile, columns [column, column + 8 * tiles) of it;
  /// rows from `rows` on are written as 0.
  template <int tiles, int columns>
  __device__ __forceinline__ static void store_rows(const StripSums<tiles>& sums,
                                                    const SharedTile<bf16, columns>& tile, int row,
                                                    int column, index_t rows) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + StripSums<tiles>::row(2 * half);
#pragma unroll
      for (int n = 0; n < tiles; ++n) {
        const float(&sum)[4] = sums.sum[n];
        (tile.chunk(r, column + n * 8) + lane_index() % 4 * 2).template as<unsigned>()[0] =
            r < rows ? ptx::pack_bf16(sum[2 * half], sum[2 * half + 1]) : 0u;
      }
    }
  }

  /// sums += P^T B: P^T the 16 columns of `p` from p_column on, B the columns of `tile` from
  /// b_column on, `rows` rows of both, a multiple of 16.
  template <int tiles, int p_columns, int columns>
  __device__ __forceinline__ static void accumulate_transposed(
      StripSums<tiles>& sums, const SharedTile<bf16, p_columns>& p, int p_column,
      const SharedTile<bf16, columns>& tile, int b_column, int rows) {
    static_assert(tiles % 2 == 0);
    // Matrices of P's transposed ldmatrix: (rows, columns) (0.., 0..) (0.., 8..) (8.., 0..)
    // (8.., 8..); of B's as in accumulate.
    const int lane = lane_index(), p_row = lane / 16 * 8 + lane % 8;
#pragma unroll 1
    for (int k = 0; k < rows; k += 16) {
      unsigned a[4];
      ptx::load_matrix_x4_transposed(a, p.chunk(k + p_row, p_column + lane / 8 % 2 * 8));
#pragma unroll
      for (int n = 0; n < tiles; n += 2) {
        unsigned b[4];
        ptx::load_matrix_x4_transposed(b,
                                       tile.chunk(k + lane % 16, b_column + n * 8 + lane / 16 * 8));
        ptx::mma_m16n8k16(sums.sum[n], a, b[0], b[1]);
        ptx::mma_m16n8k16(sums.sum[n + 1], a, b[2], b[3]);
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

}  // namespace vitsnna::kernels::cuda
