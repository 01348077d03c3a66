// Views of token rows by group and by slab.
#include "model/token_layout.h"

#include <limits>
#include <string>

#include "kernels/error.h"

namespace vitsnna::model {

namespace {

Tensor view(const Tensor& tensor, index_t element, engine::Shape shape) {
  char* const start = static_cast<char*>(tensor.data);
  return {start + element * kernels::size_of(tensor.dtype), tensor.dtype, shape};
}

}  // namespace

void TokenLayout::add(index_t items, index_t tokens) {
  groups_.push_back({items, tokens, items_, rows_});
  items_ += items;
  rows_ += items * tokens;
}

engine::Shape TokenLayout::shape(index_t columns, index_t gradients) const {
  if (packed()) return {1, rows_, columns};
  return {items_ * gradients, groups_.front().tokens, columns};
}

Tensor TokenLayout::rows_of(const Group& group, const Tensor& tensor, index_t gradients) const {
  const index_t columns = tensor.shape[2];
  return view(tensor, group.first_row * columns, {group.items * gradients, group.tokens, columns});
}

Tensor TokenLayout::slab(const Tensor& tensor, index_t first, index_t count) const {
  if (!packed()) return tensor.items(first, count);
  return view(tensor, first * tensor.shape[2], {1, count, tensor.shape[2]});
}

kernels::RowFactors TokenLayout::row_factors(const float* factors, index_t first) const {
  kernels::RowFactors result;
  if (!factors) return result;
  const auto sizes = static_cast<index_t>(groups_.size());
  if (sizes > kernels::RowFactors::kMaxRuns || rows_ > std::numeric_limits<std::int32_t>::max()) {
    throw Error("factors of " + std::to_string(rows_) + " token rows of images of " +
                std::to_string(sizes) + " sizes: 2^31 rows of " +
                std::to_string(kernels::RowFactors::kMaxRuns) + " sizes at most");
  }
  result.factors = factors;
  result.first_row = static_cast<std::uint32_t>(first * rows_of_unit());
  result.num_runs = 0;
  for (const Group& group : groups_) {
    result.runs[result.num_runs++] = {static_cast<std::uint32_t>(group.first_row),
                                      static_cast<std::uint32_t>(group.tokens),
                                      static_cast<std::uint32_t>(group.first_item)};
  }
  return result;
}

}  // namespace vitsnna::model
