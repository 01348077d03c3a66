// Attention maps: an overlay, and what a mass threshold changes of it.
#include "explain/pictures/attention_maps.h"

#include <vector>

#include "explain/mass_threshold.h"

namespace vitsnna::explain {

Image render_attention(std::span<const float> attention, Extent grid, const Image& picture,
                       std::optional<double> mass_threshold, const OverlayOptions& options,
                       const kernels::Backend& backend, kernels::Queue& queue) {
  if (!mass_threshold) return render_overlay(attention, grid, picture, options, backend, queue);
  const std::vector<float> kept = keep_mass(attention, *mass_threshold);
  OverlayOptions flat = options;
  flat.upsampling = kernels::Upsampling::nearest;
  return render_overlay(kept, grid, picture, flat, backend, queue);
}

}  // namespace vitsnna::explain
