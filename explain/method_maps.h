// Combines ingredients into maps: the formulas of SPEC section 2. Private to explain/.
#pragma once

#include "explain/ingredients.h"

namespace vitsnna::explain {

/// The picture as the pixel methods weigh it.
struct PixelPath {
  const float* image = nullptr;     ///< (channels, height, width)
  const float* baseline = nullptr;  ///< the same, or null: zeros
  index_t channels = 3, height = 0, width = 0, patch_size = 0;
};

/// One value a patch, row-major, for label `label` of the ingredients.
std::vector<float> method_map(Method method, Formulation formulation,
                              const Ingredients& ingredients, std::size_t label,
                              const PixelPath& path);

/// Sum over pixels of (x - baseline) * path gradient: what integrated gradients attribute.
double attributed(const Ingredients& ingredients, std::size_t label, const PixelPath& path);

}  // namespace vitsnna::explain
