// Drawing a map over an image: bilinear upsampling, min-max, colour map, blend. SPEC section 8.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace vitsnna::kernels {

enum class Blend : std::uint8_t {
  blend,  ///< alpha * heat + (1 - alpha) * image
  add,    ///< min-max of (heat + image), as in the paper
};

enum class Upsampling : std::uint8_t { bilinear, nearest };

/// map (grid_height, grid_width) -> upsampled to (height, width) (align_corners false) -> min-max
/// to [0, 1] (a constant map gives 0) -> colour table -> over the image. A negative value is not
/// clipped before min-max.
struct RenderOverlay {
  index_t grid_height = 0, grid_width = 0;
  const float* map = nullptr;
  index_t height = 0, width = 0;
  const std::uint8_t* image = nullptr;        ///< (height, width, 3) RGB; null: the heat alone
  const std::uint8_t* colormap = nullptr;     ///< (256, 3) RGB, indexed by round(255 * value)
  Upsampling upsampling = Upsampling::bilinear;
  Blend blend = Blend::blend;
  float alpha = .5f;
  std::uint8_t* output = nullptr;             ///< (height, width, 3) RGB
};
inline const char* op_name(const RenderOverlay&) { return "render_overlay"; }
inline double flops(const RenderOverlay& a) {
  return 20. * static_cast<double>(a.height * a.width);
}
inline double bytes(const RenderOverlay& a) {
  return 6. * static_cast<double>(a.height * a.width);
}

}  // namespace vitsnna::kernels
