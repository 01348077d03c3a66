// Oracle of the augmentation: each step on a whole crop, as PIL's documentation and sources say.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/augment.h"
#include "tests/oracle/images.h"

namespace vitsnna::oracle {

/// PIL's "L" of each pixel of (pixels, 3) values.
inline Values luma(const Values& image) {
  Values grey;
  for (std::size_t k = 0; k < image.size(); k += 3) {
    grey.push_back(std::floor(
        (19595. * image[k] + 38470. * image[k + 1] + 7471. * image[k + 2] + 32768.) / 65536.));
  }
  return grey;
}

/// Each pixel's grey three times.
inline Values grey(const Values& image) {
  Values result;
  for (const double v : luma(image)) result.insert(result.end(), 3, v);
  return result;
}

/// Image.blend: single precision, cut to 8 bits.
inline Values blend(const Values& from, const Values& to, float factor) {
  Values result;
  for (std::size_t k = 0; k < to.size(); ++k) {
    const float step = factor * static_cast<float>(to[k] - from[k]);
    const float value = static_cast<float>(from[k]) + step;
    result.push_back(std::trunc(static_cast<double>(std::clamp(value, 0.f, 255.f))));
  }
  return result;
}

/// H + shift of one pixel, by way of 8-bit HSV (colorsys's formulas, in PIL's precisions).
inline void turn(double* pixel, int shift) {
  const double largest = std::max({pixel[0], pixel[1], pixel[2]});
  const double least = std::min({pixel[0], pixel[1], pixel[2]});
  double h = 0., s = 0.;
  if (largest != least) {
    const auto range = static_cast<float>(largest - least);
    float c[3];
    for (int k = 0; k < 3; ++k) c[k] = static_cast<float>(largest - pixel[k]) / range;
    float hue =
        pixel[0] == largest ? c[2] - c[1]
        : pixel[1] == largest
            ? static_cast<float>(2. + static_cast<double>(c[0]) - static_cast<double>(c[2]))
            : static_cast<float>(4. + static_cast<double>(c[1]) - static_cast<double>(c[0]));
    hue = static_cast<float>(std::fmod(static_cast<double>(hue) / 6. + 1., 1.));
    h = std::trunc(static_cast<double>(hue) * 255.);
    s = std::trunc(static_cast<double>(range / static_cast<float>(largest)) * 255.);
  }
  h = std::fmod(h + shift, 256.);
  const double place = std::floor(h * 6. / 255.);
  const auto f = static_cast<float>(h * 6. / 255. - place), fs = static_cast<float>(s / 255.);
  const auto fd = static_cast<double>(f), fsd = static_cast<double>(fs);
  const double low = std::round(largest * (1. - fsd));
  const double falling = std::round(largest * (1. - static_cast<double>(fs * f)));
  const double rising = std::round(largest * (1. - fsd * (1. - fd)));
  const double circle[6][3] = {{largest, rising, low}, {falling, largest, low},
                               {low, largest, rising}, {low, falling, largest},
                               {rising, low, largest}, {largest, low, falling}};
  for (int k = 0; k < 3; ++k) {
    pixel[k] = s == 0. ? largest : circle[static_cast<int>(place) % 6][k];
  }
}

inline Values colour_step(const Values& image, const kernels::ColorStep& step) {
  using kernels::ColorKind;
  const Values grey_values = luma(image);
  double mean = 0.;
  for (const double v : grey_values) mean += v / static_cast<double>(grey_values.size());
  Values result = image;
  switch (step.kind) {
    case ColorKind::brightness:
      return blend(Values(image.size(), 0.), image, step.factor);
    case ColorKind::contrast:
      return blend(Values(image.size(), std::floor(mean + .5)), image, step.factor);
    case ColorKind::saturation:
      return blend(grey(image), image, step.factor);
    case ColorKind::hue:
      for (std::size_t k = 0; k < result.size(); k += 3) turn(&result[k], step.shift);
      return result;
    default:
      return image;
  }
}

/// One box blur along the rows of (height, width, 3).
inline Values blur_rows(const Values& image, index_t height, index_t width,
                        const kernels::BoxBlur& box) {
  Values result;
  for (index_t y = 0; y < height; ++y) {
    for (index_t x = 0; x < width; ++x) {
      for (index_t c = 0; c < 3; ++c) {
        double sum = 8388608.;
        for (index_t k = -box.radius - 1; k <= box.radius + 1; ++k) {
          const double weight = std::abs(k) == box.radius + 1 ? box.edge : box.full;
          sum += weight * at(image, (y * width + std::clamp<index_t>(x + k, 0, width - 1)) * 3 + c);
        }
        result.push_back(std::floor(sum / 16777216.));
      }
    }
  }
  return result;
}

/// The bytes of one crop, (height, width, 3); `picture` is (rows, crop.image_width, 3).
inline Values augment(const kernels::AugmentCrop& crop, index_t height, index_t width,
                      const Values& picture) {
  Values box;
  for (index_t y = crop.top; y < crop.top + crop.height; ++y) {
    for (index_t k = crop.left * 3; k < (crop.left + crop.width) * 3; ++k) {
      box.push_back(at(picture, y * crop.image_width * 3 + k));
    }
  }
  kernels::ResampleNormalize resize;
  resize.source_height = crop.height;
  resize.source_width = crop.width;
  resize.resized_height = crop.resized_height;
  resize.resized_width = crop.resized_width;
  resize.crop_top = crop.window_top;
  resize.crop_left = crop.window_left;
  resize.crop_height = height;
  resize.crop_width = width;
  Values image = resample(resize, box);
  if (crop.flip) {
    const Values before = image;
    for (index_t y = 0; y < height; ++y) {
      for (index_t x = 0; x < width; ++x) {
        for (index_t c = 0; c < 3; ++c) {
          put(image, (y * width + x) * 3 + c, at(before, (y * width + width - 1 - x) * 3 + c));
        }
      }
    }
  }
  for (const kernels::ColorStep& step : crop.color) image = colour_step(image, step);
  if (crop.grayscale) image = grey(image);
  if (crop.blur.full != 0) {
    for (int pass = 0; pass < 3; ++pass) image = blur_rows(image, height, width, crop.blur);
    image = transposed(image, height, width);
    for (int pass = 0; pass < 3; ++pass) image = blur_rows(image, width, height, crop.blur);
    image = transposed(image, width, height);
  }
  for (double& v : image) v = v < crop.solarize ? v : 255. - v;
  return image;
}

}  // namespace vitsnna::oracle
