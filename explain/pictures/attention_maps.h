// One head's attention of the CLS token drawn over the picture (Figure 9).
#pragma once

#include <optional>
#include <span>

#include "explain/pictures/overlay.h"

namespace vitsnna::explain {

/// `attention` is a CLS row without its own column, (grid.height, grid.width). With a mass
/// threshold only the smallest set of tokens that holds so much of the mass is drawn, each as a
/// flat square; without one the map is drawn as any other. Throws as keep_mass() and
/// render_overlay() do.
Image render_attention(std::span<const float> attention, Extent grid, const Image& picture,
                       std::optional<double> mass_threshold, const OverlayOptions& options,
                       const kernels::Backend& backend, kernels::Queue& queue);

}  // namespace vitsnna::explain
