// Warp-level matrix operations against a plain product, by the layouts of kernels/cuda/ptx.h, and
// shuffles against their definition.
#include <cmath>

#include "tests/simt/kernel_runs.h"

namespace vitsnna::kernels::cuda {
namespace {

using simt_test::expect_error;
using simt_test::run;

constexpr int m = 16, n = 8, k = 16;

/// One product: A (m x k) and B (n x k, a row a column of the product) by way of shared memory.
template <bool transposed>
__global__ void product(const bf16* a, const bf16* b, float* d) {
  SharedMemory memory;
  const Shared<bf16> a_tile = memory.take<bf16>(m * k), b_tile = memory.take<bf16>(2 * n * k);
  const int lane = lane_index();
  for (int e = lane; e < m * k; e += kWarpSize) a_tile[e] = a[e];
  // Two tiles of B, the second with its sign changed: load_matrix_x4 fetches both. Transposed, they
  // lie as k x n, side by side.
  for (int e = lane; e < n * k; e += kWarpSize) {
    const int row = e / k, column = e % k;
    const bf16 negative = to_bf16(-to_float(b[e]));
    b_tile[transposed ? column * 2 * n + row : e] = b[e];
    b_tile[transposed ? column * 2 * n + n + row : n * k + e] = negative;
  }
  __syncwarp();
  // Matrices of A in the order of its registers: rows 0 and 8 first, then columns.
  unsigned a_fragment[4], b_fragment[4];
  ptx::load_matrix_x4(a_fragment, a_tile + (lane % 16) * k + lane / 16 * 8);
  if (transposed) {
    ptx::load_matrix_x4_transposed(b_fragment, b_tile + (lane % 16) * 2 * n + lane / 16 * 8);
  } else {
    ptx::load_matrix_x4(b_fragment, b_tile + (lane / 16 * 8 + lane % 8) * k + lane / 8 % 2 * 8);
  }
  const int g = lane / 4, t = lane % 4;
  for (int tile = 0; tile < 2; ++tile) {
    float sums[4] = {.5f, .5f, .5f, .5f};
    ptx::mma_m16n8k16(sums, a_fragment, b_fragment[2 * tile], b_fragment[2 * tile + 1]);
    for (int e = 0; e < 4; ++e) {
      d[(g + e / 2 * 8) * 2 * n + tile * n + 2 * t + e % 2] = sums[e];
    }
  }
}

float small(int index) { return static_cast<float>((index * 37 + 11) % 29 - 14) / 8.f; }

template <bool transposed>
void expect_product() {
  bf16 a[m * k], b[n * k];
  for (int e = 0; e < m * k; ++e) a[e] = to_bf16(small(e));
  for (int e = 0; e < n * k; ++e) b[e] = to_bf16(small(e + 1000));
  float d[m * 2 * n] = {};
  run<product<transposed>>(dim3(1), 32, shared_bytes<bf16>(m * k) + shared_bytes<bf16>(2 * n * k),
                           a, b, d);
  for (int row = 0; row < m; ++row) {
    for (int column = 0; column < 2 * n; ++column) {
      float sum = 0.f;
      for (int e = 0; e < k; ++e) sum += small(row * k + e) * small(column % n * k + e + 1000);
      EXPECT_EQ(d[row * 2 * n + column], .5f + (column < n ? sum : -sum)) << row << " " << column;
    }
  }
}

TEST(SimtFragments, MatrixLoadsAndProductsFollowTheLayouts) {
  expect_product<false>();
  expect_product<true>();
}

__global__ void load_misaligned() {
  SharedMemory memory;
  const Shared<bf16> tile = memory.take<bf16>(1024);
  for (int e = lane_index(); e < 1024; e += kWarpSize) tile[e] = to_bf16(1.f);
  __syncwarp();
  unsigned fragment[4];
  ptx::load_matrix_x4(fragment, tile + 8 * lane_index() + (lane_index() == 9 ? 1 : 0));
}

template <bool divergent>
__global__ void load_unsynchronised() {
  SharedMemory memory;
  const Shared<bf16> tile = memory.take<bf16>(256);
  for (int e = lane_index(); e < 256; e += kWarpSize) tile[e] = to_bf16(1.f);
  unsigned fragment[4];
  if (divergent && lane_index() < 16) {
    ptx::load_matrix_x4(fragment, tile + 8 * lane_index());
  } else {
    ptx::load_matrix_x4(fragment, tile + 8 * lane_index());
  }
}

TEST(SimtFragments, AMatrixLoadIsAlignedConvergedAndAfterABarrier) {
  expect_error({"thread 9", "load_matrix_x4: byte 146 of shared memory, a multiple of 16"},
               [] { run<load_misaligned>(dim3(1), 32, shared_bytes<bf16>(1024)); });
  expect_error({"data race: read of byte"},
               [] { run<load_unsynchronised<false>>(dim3(1), 32, shared_bytes<bf16>(256)); });
  expect_error({"divergent warp", "load_matrix_x4"},
               [] { run<load_unsynchronised<true>>(dim3(1), 32, shared_bytes<bf16>(256)); });
}

__global__ void shuffles(int* output) {
  const int lane = lane_index();
  output[lane] = __shfl_sync(kAllLanes, lane, 5);
  output[32 + lane] = __shfl_sync(kAllLanes, lane, lane + 1, 8);
  output[64 + lane] = __shfl_xor_sync(kAllLanes, lane, 17);
  output[96 + lane] = __shfl_down_sync(kAllLanes, lane, 3);
  output[128 + lane] = __shfl_down_sync(kAllLanes, lane, 3, 16);
  output[160 + lane] = __syncthreads_or(lane == 3 ? 1 : 0);
  output[192 + lane] = __syncthreads_or(0);
}

TEST(SimtFragments, ShufflesTakeTheLaneThatTheirDefinitionNames) {
  int output[7 * 32] = {};
  run<shuffles>(dim3(1), 32, 0, output);
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(output[lane], 5);
    EXPECT_EQ(output[32 + lane], lane / 8 * 8 + (lane + 1) % 8);
    EXPECT_EQ(output[64 + lane], lane ^ 17);
    EXPECT_EQ(output[96 + lane], lane + 3 < 32 ? lane + 3 : lane);
    EXPECT_EQ(output[128 + lane], lane % 16 + 3 < 16 ? lane + 3 : lane);
    EXPECT_NE(output[160 + lane], 0);
    EXPECT_EQ(output[192 + lane], 0);
  }
}

TEST(SimtFragments, NumbersAreConvertedAsTheInstructionsDo) {
  EXPECT_EQ(ptx::pack_bf16(1.f, -2.f), 0xc0003f80u);
  EXPECT_EQ(ptx::exp2_approximate(3.f), 8.f);
  EXPECT_EQ(ptx::exp2_approximate(-INFINITY), 0.f);
  EXPECT_EQ(ptx::exp2_approximate(-130.f), 0.f);
}

}  // namespace
}  // namespace vitsnna::kernels::cuda
