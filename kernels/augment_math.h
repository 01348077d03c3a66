// PIL's colour arithmetic on one pixel, for host and device alike: the same IEEE operations in the
// same order and precision as its C code, so that the bytes are its own.
#pragma once

#include "kernels/augment.h"
#include "kernels/exact_math.h"

namespace vitsnna::kernels::augment_math {

struct Pixel {
  std::uint8_t red = 0, green = 0, blue = 0;
};

/// PIL's "L".
VITSNNA_HOST_DEVICE std::uint8_t luma(Pixel p) {
  return static_cast<std::uint8_t>((p.red * 19595u + p.green * 38470u + p.blue * 7471u + 0x8000u) >>
                                   16);
}

VITSNNA_HOST_DEVICE std::uint8_t blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + product(factor, static_cast<float>(to - from));
  return static_cast<std::uint8_t>(value <= 0.f ? 0.f : value >= 255.f ? 255.f : value);
}
VITSNNA_HOST_DEVICE Pixel blend(Pixel from, Pixel to, float factor) {
  return {blend(from.red, to.red, factor), blend(from.green, to.green, factor),
          blend(from.blue, to.blue, factor)};
}

/// Of a value that is not negative, halves upwards.
VITSNNA_HOST_DEVICE std::uint8_t rounded(double value) {
  const int whole = static_cast<int>(value);
  return static_cast<std::uint8_t>(whole + (value - whole >= .5 ? 1 : 0));
}

/// RGB to PIL's HSV, H + shift modulo 256, and back.
VITSNNA_HOST_DEVICE Pixel turned(Pixel p, std::int32_t shift) {
  const int largest =
      p.red > p.green ? (p.red > p.blue ? p.red : p.blue) : (p.green > p.blue ? p.green : p.blue);
  const int least =
      p.red < p.green ? (p.red < p.blue ? p.red : p.blue) : (p.green < p.blue ? p.green : p.blue);
  if (largest == least) return p;  // saturation 0, value the same
  const auto range = static_cast<float>(largest - least);
  const float red = static_cast<float>(largest - p.red) / range;
  const float green = static_cast<float>(largest - p.green) / range;
  const float blue = static_cast<float>(largest - p.blue) / range;
  float hue = 0.f;
  if (p.red == largest) {
    hue = blue - green;
  } else if (p.green == largest) {
    hue = static_cast<float>(2. + static_cast<double>(red) - static_cast<double>(blue));
  } else {
    hue = static_cast<float>(4. + static_cast<double>(green) - static_cast<double>(red));
  }
  const double circle = static_cast<double>(hue) / 6. + 1.;  // in [5/6, 11/6]
  hue = static_cast<float>(circle >= 1. ? circle - 1. : circle);
  const int h = (static_cast<int>(product(static_cast<double>(hue), 255.)) + shift) & 255;
  const float share = range / static_cast<float>(largest);
  const int s = static_cast<int>(product(static_cast<double>(share), 255.));
  if (s == 0) {
    const auto grey = static_cast<std::uint8_t>(largest);
    return {grey, grey, grey};
  }

  const double place = product(static_cast<double>(h), 6.) / 255.;
  const int sixth = static_cast<int>(place);  // 0 to 6
  const auto rest = static_cast<float>(place - static_cast<double>(sixth));
  const auto saturation = static_cast<float>(static_cast<double>(s) / 255.);
  const auto v = static_cast<double>(largest);
  const auto fs = static_cast<double>(saturation);
  const std::uint8_t value = static_cast<std::uint8_t>(largest);
  const std::uint8_t low = rounded(product(v, 1. - fs));
  const std::uint8_t falling =
      rounded(product(v, 1. - static_cast<double>(product(saturation, rest))));
  const std::uint8_t rising = rounded(product(v, 1. - product(fs, 1. - static_cast<double>(rest))));
  switch (sixth % 6) {
    case 0:
      return {value, rising, low};
    case 1:
      return {falling, value, low};
    case 2:
      return {low, value, rising};
    case 3:
      return {low, falling, value};
    case 4:
      return {rising, low, value};
    default:
      return {value, low, falling};
  }
}

/// Mean of the crop's L, as PIL rounds it.
VITSNNA_HOST_DEVICE int mean_luma(std::uint64_t sum, std::uint64_t pixels) {
  return static_cast<int>((2 * sum + pixels) / (2 * pixels));
}

/// One step on one pixel; `mean` is what the contrast is taken against.
VITSNNA_HOST_DEVICE Pixel adjusted(Pixel p, const ColorStep& step, int mean) {
  switch (step.kind) {
    case ColorKind::brightness:
      return blend(Pixel{}, p, step.factor);
    case ColorKind::contrast: {
      const auto grey = static_cast<std::uint8_t>(mean);
      return blend(Pixel{grey, grey, grey}, p, step.factor);
    }
    case ColorKind::saturation: {
      const std::uint8_t grey = luma(p);
      return blend(Pixel{grey, grey, grey}, p, step.factor);
    }
    case ColorKind::hue:
      return turned(p, step.shift);
    default:
      return p;
  }
}

/// Place of the contrast step, before which the crop's mean L has to be known; 4: there is none.
VITSNNA_HOST_DEVICE int contrast_place(const AugmentCrop& crop) {
  int place = 0;
  while (place < 4 && crop.color[place].kind != ColorKind::contrast) ++place;
  return place;
}

VITSNNA_HOST_DEVICE std::uint8_t solarised(std::uint8_t value, std::int32_t threshold) {
  return value < threshold ? value : static_cast<std::uint8_t>(255 - value);
}

/// One value of one box blur of a line of `length` pixels, `step` bytes apart.
VITSNNA_HOST_DEVICE std::uint8_t blurred(const std::uint8_t* line, std::int32_t length,
                                         index_t step, std::int32_t at, const BoxBlur& box) {
  const std::int32_t last = length - 1;
  const std::int32_t before = at - box.radius - 1, behind = at + box.radius + 1;
  std::uint32_t inside = 0;
  for (std::int32_t k = before + 1; k < behind; ++k) {
    inside += line[(k < 0 ? 0 : k > last ? last : k) * step];
  }
  const std::uint32_t outside = static_cast<std::uint32_t>(line[(before < 0 ? 0 : before) * step]) +
                                line[(behind > last ? last : behind) * step];
  return static_cast<std::uint8_t>((inside * box.full + outside * box.edge + (1u << 23)) >> 24);
}

}  // namespace vitsnna::kernels::augment_math
