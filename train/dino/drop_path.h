// Drop path (stochastic depth): which residual branches of which crops the student leaves out of a
// step, and by what it scales the others. SPEC section 4.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

struct DropPath {
  double rate = 0.;  ///< of the last block, below 1; 0: none
  std::uint64_t seed = 0;

  /// linspace(0, rate, depth)
  double rate_of(index_t block, index_t depth) const {
    return depth > 1 ? rate * static_cast<double>(block) / static_cast<double>(depth - 1) : 0.;
  }
};

/// Throws Error naming the option where the rate is none.
void check(const DropPath& drop_path);

/// (depth, 2, crops, images): 0 with the block's rate p, else 1 / (1 - p), for the attention's and
/// the MLP's branch. Each is a function of the seed, the step, the image's number in the data set,
/// the crop, the block and the branch: Philox words with counters (step, crop << 16 | branches / 4,
/// image, RandomStream::drop_path), so ranks, parts and packing draw the same.
std::vector<float> branch_factors(const DropPath& drop_path, index_t step, index_t depth,
                                  index_t crops, std::span<const index_t> images);

}  // namespace vitsnna::train
