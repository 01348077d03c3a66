// All inline PTX of the project, one function an instruction. The host's SIMT layer gives each a
// second body that follows the same layouts (PTX ISA, "Warp-level matrix instructions").
//
// Layouts, lane = 4 g + t (g = lane / 4, t = lane % 4), of mma.m16n8k16 in bf16, D = A B + D:
//   A (16 x 16), 4 registers of two bf16, lower column in the lower half:
//     a[0] (g, 2t..)  a[1] (g + 8, 2t..)  a[2] (g, 2t + 8..)  a[3] (g + 8, 2t + 8..)
//   B (16 x 8, k x n), 2 registers:  b[0] (k = 2t.., n = g)   b[1] (k = 2t + 8.., n = g)
//   D (16 x 8) fp32:  d[0], d[1] (g, 2t..)    d[2], d[3] (g + 8, 2t..)
// so a D pair packed to bf16 is one register of an A of the next product.
#pragma once

#include "kernels/cuda/shared.h"

#if defined(__CUDACC__)

namespace vitsnna::kernels::cuda::ptx {

/// Loads four 8x8 matrices of 16-bit elements; lane 8 i + r passes the address of row r (16 bytes,
/// 16-byte aligned) of matrix i. In result i a lane gets elements (row g, columns 2t, 2t + 1).
__device__ __forceinline__ void load_matrix_x4(unsigned (&result)[4], Shared<bf16> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
               : "r"(row.address()));
}

/// The same, each matrix transposed: a lane gets elements (rows 2t, 2t + 1; column g).
__device__ __forceinline__ void load_matrix_x4_transposed(unsigned (&result)[4], Shared<bf16> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
               : "r"(row.address()));
}

/// d += a b, bf16 operands, fp32 sums (layouts above).
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                             unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Starts copying 16 bytes from global to shared memory (both 16-byte aligned); where `valid` is
/// false the source is not read and zeros are written. Lands at the wait for its group.
__device__ __forceinline__ void copy_async_16(Shared<unsigned char> destination, const void* source,
                                              bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(destination.address()),
               "l"(__cvta_generic_to_global(source)), "r"(valid ? 16 : 0)
               : "memory");
}
/// Closes this thread's group of started copies.
__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most `pending` of this thread's newest groups are under way. Other threads see
/// the data after a barrier.
template <int pending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

/// Barrier `id` (1 to 15) of `threads` threads, a multiple of 32.
__device__ __forceinline__ void named_barrier(int id, int threads) {
  asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// 2^x, error below 2 ulp, subnormal results flushed to 0.
__device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Two fp32 as bf16, round to nearest even; `low` in the lower half.
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
  unsigned packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

}  // namespace vitsnna::kernels::cuda::ptx

#else
#include "tests/simt/ptx.h"
#endif
