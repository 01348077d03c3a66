// Products of one warp on strips of 16 rows, in which attention is written: bf16 on tensor cores,
// fp32 in exact fused multiply-adds, both with the same accumulators.
//
//   scores:      S(16 x n)     += A(16 x depth) B(n x depth)^T    A: a strip, B: rows of a tile
//   accumulate:  O(16 x depth) += P(16 x k) B(k x depth)          P: a Strip of sums, B: a tile
//   accumulate_transposed: the same with P^T a tile, which store_rows of several warps has filled
//
// Sums lie alike for either precision (strip_sums.h). So P is the sums of an earlier `scores` after
// whatever was done to them element by element, and never leaves the warp.
//
// A warp may own several strips: each fragment of B is then read once for all of them, which is
// what halves the shared memory traffic, the narrowest pipe of a 16-row strip (docs/KERNELS.md).
// Every sum is added up in ascending order of depth or k, whatever the number of strips.
#pragma once

#include "kernels/cuda/warp_product_bf16.h"
#include "kernels/cuda/warp_product_f32.h"
