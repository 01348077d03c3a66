// The augmentation of a training crop, from the decoded picture to the normalised tensor, as PIL
// and torchvision apply it step by step in 8 bits. SPEC section 4.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/types.h"

namespace vitsnna::kernels {

/// The steps of a colour jitter, each as PIL's, `factor` where 1 changes nothing:
///   brightness  blend(0, pixel), contrast  blend(mean of the crop's L, pixel),
///   saturation  blend(L of the pixel, pixel), with
///   blend(a, b) = clamp(int(a + factor (b - a))) in fp32, L = (19595 R + 38470 G + 7471 B + 2^15)
///   >> 16 hue         H + shift modulo 256, through PIL's 8-bit HSV
enum class ColorKind : std::uint8_t { none, brightness, contrast, saturation, hue };
struct ColorStep {
  ColorKind kind = ColorKind::none;
  float factor = 1.f;      ///< not of hue
  std::int32_t shift = 0;  ///< of hue alone
};
/// `turn` in [-1/2, 1/2], as torchvision takes it: of the circle, truncated to 255ths.
inline ColorStep hue_step(double turn) {
  return {ColorKind::hue, 1.f, static_cast<std::int32_t>(turn * 255.) & 255};
}

/// PIL's Gaussian blur: three box blurs of a fractional radius along each axis. One box blur is
///   (full sum_{|k| <= radius} p[x + k] + edge (p[x - radius - 1] + p[x + radius + 1]) + 2^23) >>
///   24,
/// with the outermost pixels repeated.
struct BoxBlur {
  std::int32_t radius = 0;
  std::uint32_t full = 0, edge = 0;  ///< full 0: no blur
};
/// The box whose threefold blur has the deviation `sigma` (Gwosdek et al. 2011), in PIL's fp32.
inline BoxBlur box_blur(float sigma) {
  if (!(sigma > 0.f)) return {};
  const float square = sigma * sigma / 3.f;
  const auto length = static_cast<float>(std::sqrt(12. * static_cast<double>(square) + 1.));
  const auto whole = static_cast<float>(std::floor((static_cast<double>(length) - 1.) / 2.));
  float part = (2.f * whole + 1.f) * (whole * (whole + 1.f) - 3.f * square);
  part /= 6.f * (square - (whole + 1.f) * (whole + 1.f));
  const float radius = whole + part;
  BoxBlur box;
  box.radius = static_cast<std::int32_t>(radius);
  box.full = static_cast<std::uint32_t>(16777216.f / (radius * 2.f + 1.f));
  box.edge = (16777216u - static_cast<std::uint32_t>(box.radius * 2 + 1) * box.full) / 2;
  return box;
}

/// What is done to one crop, in this order: the box of the picture is resized (antialiased bicubic
/// as resample.h, edges of the box repeated) to (resized_height, resized_width), of which the
/// window at (window_top, window_left) is kept; the flip; `color`, in its order; grayscale; blur;
/// values not below `solarize` are inverted.
struct AugmentCrop {
  index_t image = 0;  ///< where the picture's bytes (image_width, 3) a row start in Augment::images
  std::int32_t image_width = 0;
  std::int32_t top = 0, left = 0, height = 0, width = 0;  ///< the box, inside the picture
  std::int32_t resized_height = 0, resized_width = 0;
  std::int32_t window_top = 0, window_left = 0;
  ColorStep color[4];
  BoxBlur blur;
  std::int32_t solarize = 256;  ///< 256: no value is inverted
  bool flip = false, grayscale = false;
};

/// A batch of crops of one size, each of its own picture and its own parameters:
///   output[crop, channel, y width + x] = (value / 255 - mean[channel]) / deviation[channel]
/// One kernel on CUDA, a block a crop; a crop a thread on the CPU. Integers throughout, but for the
/// blends and HSV, whose IEEE operations are those of PIL: every device gives the same bytes.
struct Augment {
  index_t crops = 0, height = 0, width = 0;
  const AugmentCrop* crop = nullptr;     ///< (crops), in device memory
  const std::uint8_t* images = nullptr;  ///< device memory that holds the pictures, 8-bit RGB
  /// No box has more rows or columns: they size the scratch.
  index_t most_rows = 0, most_columns = 0;
  float mean[3] = {0, 0, 0};
  float deviation[3] = {1, 1, 1};
  Matrix output;                   ///< items: crops, rows: 3, columns: height width; fp32 or bf16
  std::uint8_t* pixels = nullptr;  ///< (crops, height, width, 3) before normalisation, or null
};
inline const char* op_name(const Augment&) { return "augment"; }
inline double flops(const Augment& a) {
  return static_cast<double>(a.crops) *
         (24. * static_cast<double>(a.width * (a.most_rows + a.height)) +
          200. * static_cast<double>(a.height * a.width));
}
inline double bytes(const Augment& a) {
  return static_cast<double>(a.crops) *
         (3. * static_cast<double>(a.most_rows * a.most_columns) +
          static_cast<double>(3 * a.height * a.width * size_of(a.output.dtype)));
}

}  // namespace vitsnna::kernels
