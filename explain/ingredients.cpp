// SPEC section 2's tables as a table of needs.
#include "explain/ingredients.h"

namespace vitsnna::explain {

Needs needs_of(const std::vector<Method>& methods, Formulation formulation) {
  Needs needs;
  const bool paper = formulation == Formulation::paper;
  for (const Method method : methods) {
    switch (method) {
      case Method::rawatt:
        break;  // the last block's CLS rows are always kept
      case Method::attgrad:
        needs.cls_rows_of_every_block |= !paper;
        break;
      case Method::attin:
        (paper ? needs.transformed_attention : needs.authors_weighted_chain) = true;
        break;
      case Method::genericatt:
        (paper ? needs.paper_chain : needs.authors_chain) = true;
        break;
      case Method::attig:
        (paper ? needs.paper_chain : needs.authors_chain) = true;
        (paper ? needs.path_pixel_gradient : needs.scaled_last_gradient) = true;
        break;
      case Method::snna:
        (paper ? needs.paper_weighted_chain : needs.authors_weighted_chain) = true;
        needs.noisy_last_gradient = true;
        break;
      case Method::rollout:
        needs.rollout = true;
        break;
      case Method::gradient:
        needs.cls_rows_of_every_block = true;
        break;
      case Method::attsg:
        needs.authors_chain = true;
        needs.noisy_last_gradient = true;
        break;
      case Method::inputgrad:
        needs.pixel_gradient = true;
        break;
      case Method::ig:
        needs.path_pixel_gradient = true;
        break;
      case Method::smoothgrad:
        needs.noisy_pixel_gradient = true;
        break;
    }
  }
  return needs;
}

}  // namespace vitsnna::explain
