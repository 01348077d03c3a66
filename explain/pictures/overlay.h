// A map drawn over its picture, and the model's decision written on it (SPEC section 8).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "explain/image.h"
#include "kernels/backend.h"

namespace vitsnna::explain {

struct OverlayOptions {
  std::string colormap = "jet";
  float alpha = .5f;  ///< share of the heat in `blend`, in [0, 1]
  kernels::Blend blend = kernels::Blend::blend;
  kernels::Upsampling upsampling = kernels::Upsampling::bilinear;
};

/// `map` (grid.height, grid.width), host memory, over `picture`. Not clipped; a constant map is
/// drawn as the lowest colour. Throws Error for an unknown colour map, an alpha outside [0, 1], a
/// map whose size is not the grid's, or one with a NaN or infinity.
Image render_overlay(std::span<const float> map, Extent grid, const Image& picture,
                     const OverlayOptions& options, const kernels::Backend& backend,
                     kernels::Queue& queue);

/// The same map without a picture under it.
Image render_heat(std::span<const float> map, Extent grid, Extent size,
                  const OverlayOptions& options, const kernels::Backend& backend,
                  kernels::Queue& queue);

struct LabelledProbability {
  std::string label;
  double probability = 0;
};

/// Figure 8: the predicted labels, most probable first, in a panel on the picture's upper left.
/// A picture too small to be written on is enlarged by a whole factor first.
Image draw_predictions(const Image& picture, std::span<const LabelledProbability> predictions);

}  // namespace vitsnna::explain
