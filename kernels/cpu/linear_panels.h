// A linear layer's weight as the products read it: panels of output columns, each contiguous where
// packing pays.
#pragma once

#include <algorithm>

#include "kernels/cpu/tile_product.h"
#include "kernels/linear.h"

namespace vitsnna::kernels::cpu {

/// The right operand (inner, outer) of x W^T, or of x W where `weight.transposed`.
struct WeightPanels {
  LinearWeight weight;
  RightLayout layout = RightLayout::rows;
  index_t width = 0;  ///< columns of every panel but the last; a multiple of 64
  index_t count = 0;
  index_t panel_bytes = 0;  ///< from one packed panel to the next

  explicit WeightPanels(const LinearWeight& of);
  index_t columns(index_t panel) const { return std::min(width, weight.outer() - panel * width); }
  index_t right_stride() const;
  index_t prepared_bytes() const;
  const void* at(index_t panel) const;
};

}  // namespace vitsnna::kernels::cpu
