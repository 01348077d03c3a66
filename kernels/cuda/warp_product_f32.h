// The warp's products of warp_product.h in fp32, in exact fused multiply-adds.
#pragma once

#include "kernels/cuda/strip_sums.h"
#include "kernels/cuda/tile.h"

namespace vitsnna::kernels::cuda {

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

  template <int tiles, int columns>
  __device__ __forceinline__ static void store_rows(const StripSums<tiles>& sums,
                                                    const SharedTile<float, columns>& tile, int row,
                                                    int column, index_t rows) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + StripSums<tiles>::row(2 * half);
#pragma unroll
      for (int n = 0; n < tiles; ++n) {
        const float(&sum)[4] = sums.sum[n];
        const int c = column + StripSums<tiles>::column(n, 0);
        (tile.chunk(r, c & ~3) + (c & 2)).template as<float2>()[0] =
            r < rows ? make_float2(sum[2 * half], sum[2 * half + 1]) : make_float2(0.f, 0.f);
      }
    }
  }

  template <int tiles, int p_columns, int columns>
  __device__ __forceinline__ static void accumulate_transposed(
      StripSums<tiles>& sums, const SharedTile<float, p_columns>& p, int p_column,
      const SharedTile<float, columns>& tile, int b_column, int rows) {
    const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll 2
    for (int k = 0; k < rows; ++k) {
      const float upper = p(k, p_column + g), lower = p(k, p_column + g + 8);
#pragma unroll
      for (int n = 0; n < tiles; ++n) {
        const float2 b = two(tile, k, b_column + n * 8 + 2 * t);
        float(&sum)[4] = sums.sum[n];
        sum[0] = fmaf(upper, b.x, sum[0]);
        sum[1] = fmaf(upper, b.y, sum[1]);
        sum[2] = fmaf(lower, b.x, sum[2]);
        sum[3] = fmaf(lower, b.y, sum[3]);
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

}  // namespace vitsnna::kernels::cuda
