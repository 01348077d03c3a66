// How the token rows of a pass lie in memory. Images of one size are items x tokens. Images of
// several sizes (DINO's global and local crops) lie one after another as one run of rows, so that
// every token-wise op takes all of them at once and only attention sees them apart.
#pragma once

#include <vector>

#include "engine/tensor.h"
#include "kernels/row_factors.h"

namespace vitsnna::model {

using engine::Tensor;
using kernels::index_t;

class TokenLayout {
 public:
  /// Images of one size.
  struct Group {
    index_t items = 0;
    index_t tokens = 0;      ///< of each image, CLS included
    index_t first_item = 0;  ///< its first image among all
    index_t first_row = 0;   ///< its first token row among all
  };

  void add(index_t items, index_t tokens);

  const std::vector<Group>& groups() const { return groups_; }
  bool packed() const { return groups_.size() > 1; }
  index_t items() const { return items_; }
  index_t rows() const { return rows_; }

  /// Shape of a tensor with `columns` numbers a token: (items, tokens, columns), or (1, rows,
  /// columns) when packed. `gradients` tensors an item may share one forward of one group.
  engine::Shape shape(index_t columns, index_t gradients = 1) const;

  /// The group's part of such a tensor: (items * gradients, tokens, columns).
  Tensor rows_of(const Group& group, const Tensor& tensor, index_t gradients = 1) const;

  /// Such a tensor is walked in slabs: of whole items, or of rows when packed.
  index_t slab_units(index_t gradients = 1) const { return packed() ? rows_ : items_ * gradients; }
  index_t rows_of_unit() const { return packed() ? 1 : groups_.front().tokens; }
  Tensor slab(const Tensor& tensor, index_t first, index_t count) const;

  /// Factors (items) of all images, for the token rows of a slab that begins at `first`. Throws
  /// Error where the images have more sizes than an op takes.
  kernels::RowFactors row_factors(const float* factors, index_t first = 0) const;

 private:
  std::vector<Group> groups_;
  index_t items_ = 0;
  index_t rows_ = 0;
};

}  // namespace vitsnna::model
