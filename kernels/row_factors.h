// One factor an image for rows that lie image after image: what drop path scales a residual branch
// by. SPEC section 4.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

/// Rows are counted over all items of an operand: item * rows + row. Images of one size are a run
/// of rows; a pass over several sizes has one after another. Passed by value. (Rows are 32 bits
/// here because a launch has no more of them, and a device divides those fast.)
struct RowFactors {
  static constexpr int kMaxRuns = 4;
  struct Run {
    std::uint32_t first_row = 0;
    std::uint32_t rows_each = 1;     ///< of an image
    std::uint32_t first_factor = 0;  ///< that of the run's first image
  };

  const float* factors = nullptr;  ///< device memory; null: every factor is 1
  std::uint32_t first_row = 0;     ///< the operand's first row, where it is a slab of all rows
  int num_runs = 1;
  Run runs[kMaxRuns];  ///< by first_row; the first one's is 0

  VITSNNA_HOST_DEVICE float of(index_t operand_row) const {
    if (!factors) return 1.f;
    const std::uint32_t row = first_row + static_cast<std::uint32_t>(operand_row);
    Run run = runs[0];
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (int k = 1; k < kMaxRuns; ++k) {
      if (k < num_runs && row >= runs[k].first_row) run = runs[k];
    }
    return factors[run.first_factor + (row - run.first_row) / run.rows_each];
  }
};

}  // namespace vitsnna::kernels
