// How this folder cuts an op into tasks of rows.
#pragma once

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/random.h"
#include "kernels/random_math.h"

namespace vitsnna::kernels::cpu {

/// Rows that one task takes: enough to outweigh its start, few enough to share a small image.
constexpr index_t rows_per_task = 32;

/// body(item, first_row, end_row, thread) over blocks of at most `block` rows; no block spans two
/// items, so what a block holds does not depend on how items are batched.
template <class Body>
void for_row_blocks(const Queue& queue, index_t items, index_t rows, index_t block,
                    const Body& body) {
  const index_t blocks = ceil_div(rows, block);
  parallel_for(queue, items * blocks, [&](index_t task, int thread) {
    const index_t first = task % blocks * block;
    const index_t end = first + block < rows ? first + block : rows;
    body(task / blocks, first, end, thread);
  });
}

/// The noise with its deviation worked out, `extremes` read.
inline GaussianNoise settled(GaussianNoise noise) {
  if (noise.extremes) {
    noise.sigma =
        random_math::deviation_of_range(noise.level, noise.extremes[0], noise.extremes[1]);
    noise.extremes = nullptr;
  }
  return noise;
}

}  // namespace vitsnna::kernels::cpu
