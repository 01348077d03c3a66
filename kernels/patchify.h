// Cutting images into rows of patch pixels, with interpolation to a baseline, Gaussian noise and
// pixel masking applied on the way, so that noisy or masked images are never stored.
#pragma once

#include "kernels/random.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

/// Row (y, x) of item i is patch (y, x) of
///   x_i = baseline + alpha_i (image_i - baseline) + noise_i,
/// its columns ordered (channel, row in patch, column in patch) as a convolution weight
/// (embed_dim, channels, patch, patch) is. Where patch_keep is 0 the pixels are `fill` of their
/// channel instead (SPEC section 3, `pixel`). Pixels beyond grid * patch_size are not read.
struct Patchify {
  index_t items = 1;
  index_t channels = 3;
  index_t height = 0, width = 0;  ///< of the images, in pixels
  index_t patch_size = 8;
  index_t grid_height = 0, grid_width = 0;   ///< patches: at most height / patch_size ..
  const float* image = nullptr;              ///< (items or 1, channels, height, width)
  index_t image_stride = 0;                  ///< elements from item to item; 0: one image for all
  const float* baseline = nullptr;           ///< (channels, height, width), or null: zeros
  const float* alpha = nullptr;              ///< (items), or null: 1 (then baseline is not read)
  const float* noise = nullptr;              ///< (items, channels, height, width), scaled, or null
  GaussianNoise gaussian;                    ///< if any, adds sample (first_sample + i) of it
  const std::uint8_t* patch_keep = nullptr;  ///< (items, grid_height * grid_width), or null
  const float* fill = nullptr;               ///< (channels), with patch_keep
  Matrix patches;                            ///< (items, grid, channels * patch_size^2)
};
inline const char* op_name(const Patchify&) { return "patchify"; }
inline double flops(const Patchify& a) {
  const double per_pixel = draws(a.gaussian) ? 60. : 2.;
  return per_pixel * static_cast<double>(a.items * a.channels * a.height * a.width);
}
inline double bytes(const Patchify& a) {
  return static_cast<double>(a.items * a.channels * a.height * a.width *
                             (4 + size_of(a.patches.dtype)));
}

/// The transpose: image_gradient[i] (+)= weight * pixels of patch rows; pixels outside the grid are
/// set to 0 (or left, when adding). With `sum_items`, all items are ADDED, in item order, into one
/// (channels, height, width) gradient.
struct UnpatchifyGradient {
  index_t items = 1;
  index_t channels = 3;
  index_t height = 0, width = 0;
  index_t patch_size = 8;
  index_t grid_height = 0, grid_width = 0;
  ConstMatrix patches_gradient;     ///< (items, grid, channels * patch_size^2) fp32
  float* image_gradient = nullptr;  ///< (items or 1, channels, height, width)
  bool sum_items = false;
  float weight = 1.f;
};
inline const char* op_name(const UnpatchifyGradient&) { return "unpatchify_gradient"; }
inline double flops(const UnpatchifyGradient& a) {
  return static_cast<double>(a.items * a.channels * a.height * a.width);
}
inline double bytes(const UnpatchifyGradient& a) { return 8. * flops(a); }

}  // namespace vitsnna::kernels
