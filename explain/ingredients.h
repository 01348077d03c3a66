// What each method is made of, so that one pass serves every method that wants its result. Private
// to explain/.
#pragma once

#include <vector>

#include "explain/explainer.h"

namespace vitsnna::explain {

/// Which ingredients a set of methods wants (SPEC section 2, both tables).
struct Needs {
  bool cls_rows_of_every_block = false;  ///< A^l and G^l of the CLS query, all l
  bool transformed_attention = false;    ///< || sum_h A^L_h0j v^_hj ||
  bool paper_chain = false;              ///< (C_1 + I) ... (C_L + I)
  bool paper_weighted_chain = false;     ///< with the value norm of the key
  bool authors_chain = false;            ///< (C_L + I) ... (C_1 + I)
  bool authors_weighted_chain = false;   ///< with the per-head value norm of the query
  bool rollout = false;
  bool noisy_last_gradient = false;   ///< mean of G^L over noisy copies
  bool scaled_last_gradient = false;  ///< mean of G^L over alpha x, alpha in linspace(0, 1)
  bool path_pixel_gradient = false;   ///< mean of df/dx over the path from the baseline
  bool noisy_pixel_gradient = false;  ///< mean of df/dx over noisy copies
  bool pixel_gradient = false;        ///< df/dx of the clean image

  bool any_paper_chain() const { return paper_chain || paper_weighted_chain; }
  bool any_authors_chain() const { return authors_chain || authors_weighted_chain; }
  /// Whether the clean image's backward goes below the last block.
  bool full_backward() const {
    return cls_rows_of_every_block || any_paper_chain() || any_authors_chain() || pixel_gradient;
  }
  /// Whether the clean forward keeps every block's record.
  bool record() const { return full_backward() || rollout; }
  bool noise() const { return noisy_last_gradient || noisy_pixel_gradient; }
  bool operator==(const Needs&) const = default;
};

Needs needs_of(const std::vector<Method>& methods, Formulation formulation);

/// Results of the passes in host memory, from which methods are combined. Rows are over all tokens,
/// the CLS token first.
struct LabelIngredients {
  std::vector<float> gradient_rows;  ///< (blocks kept, heads, tokens) G^l of the CLS query
  std::vector<float> paper_chain, paper_weighted_chain;      ///< (tokens)
  std::vector<float> authors_chain, authors_weighted_chain;  ///< (tokens)
  std::vector<float> noisy_last_gradient;                    ///< (heads, tokens)
  std::vector<float> scaled_last_gradient;                   ///< (heads, tokens)
  std::vector<float> path_pixel_gradient;                    ///< (channels, height, width)
  std::vector<float> noisy_pixel_gradient;                   ///< (channels, height, width)
  std::vector<float> pixel_gradient;                         ///< (channels, height, width)
};

struct Ingredients {
  index_t heads = 0, tokens = 0;
  index_t blocks = 0;  ///< blocks whose CLS rows were kept: depth, or 1 (last)
  std::vector<float> logits;
  std::vector<float> baseline_logits;        ///< f(baseline), with path_pixel_gradient
  std::vector<float> attention_rows;         ///< (blocks kept, heads, tokens) A^l of the CLS query
  std::vector<float> transformed_attention;  ///< (tokens)
  std::vector<float> rollout;                ///< (tokens)
  std::vector<LabelIngredients> labels;
};

}  // namespace vitsnna::explain
