// Views of token rows by group and by slab.
#include "model/token_layout.h"

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

}  // namespace vitsnna::model
