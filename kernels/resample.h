// Antialiased bicubic resampling of 8-bit images as Pillow does it, then crop and normalisation.
#pragma once

#include <cstdint>

#include "kernels/types.h"

namespace vitsnna::kernels {

/// The source is resized to (resized_height, resized_width): separable bicubic, a = -0.5, support
/// scaled by the reduction factor, coefficients in 22-bit fixed point and the intermediate rounded
/// to 8 bits, horizontal pass first - Pillow's arithmetic, so that its results are met to the bit
/// (13 and later take the vertical pass first where the height shrinks much more than the width).
/// The window of crop_height x crop_width at (crop_top, crop_left) is then normalised:
///   output[c, y, x] = (value / 255 - mean[c]) / deviation[c]
struct ResampleNormalize {
  index_t source_height = 0, source_width = 0;
  const std::uint8_t* source = nullptr;  ///< (source_height, source_width, 3) RGB
  index_t resized_height = 0, resized_width = 0;
  index_t crop_top = 0, crop_left = 0, crop_height = 0, crop_width = 0;
  float mean[3] = {0, 0, 0};
  float deviation[3] = {1, 1, 1};
  float* output = nullptr;          ///< (3, crop_height, crop_width), or null
  std::uint8_t* resized = nullptr;  ///< (crop_height, crop_width, 3) before normalisation, or null
};
inline const char* op_name(const ResampleNormalize&) { return "resample_normalize"; }
inline double flops(const ResampleNormalize& a) {
  return 24. * static_cast<double>(a.resized_height * a.resized_width) +
         24. * static_cast<double>(a.source_height * a.resized_width);
}
inline double bytes(const ResampleNormalize& a) {
  return 3. * static_cast<double>(a.source_height * a.source_width) +
         12. * static_cast<double>(a.crop_height * a.crop_width);
}

}  // namespace vitsnna::kernels
