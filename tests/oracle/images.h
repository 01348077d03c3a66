// Oracles of the ops on images: patches and back, Gaussian draws, resizing, overlays.
#pragma once

#include <algorithm>
#include <array>

#include "kernels/patchify.h"
#include "kernels/render.h"
#include "kernels/resample.h"
#include "tests/oracle/values.h"

namespace vitsnna::oracle {

/// Philox4x32-10 as the paper writes it.
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c,
                                           std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k = {k[0] + 0x9E3779B9u, k[1] + 0xBB67AE85u};
  }
  return c;
}

/// z(sample, element), by Box-Muller in double on the generator's words.
inline double normal(const kernels::GaussianNoise& noise, std::uint32_t sample, index_t element) {
  const auto words = philox(
      {static_cast<std::uint32_t>(element / 4), sample, noise.image_id,
       static_cast<std::uint32_t>(noise.stream)},
      {static_cast<std::uint32_t>(noise.seed), static_cast<std::uint32_t>(noise.seed >> 32)});
  const std::size_t pair = element % 4 < 2 ? 0 : 2;
  const double u = (static_cast<double>(words[pair] >> 8) + 1.) * 0x1p-24;
  const double v = static_cast<double>(words[pair + 1] >> 8) * 0x1p-24;
  const double angle = 2. * 3.14159265358979323846 * v, radius = std::sqrt(-2. * std::log(u));
  return radius * (element % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

/// {least, greatest} of the values that are numbers.
inline Values min_max(const Values& values) {
  Values result{HUGE_VAL, -HUGE_VAL};
  for (const double v : values) {
    if (std::isnan(v)) continue;
    result[0] = std::min(result[0], v);
    result[1] = std::max(result[1], v);
  }
  return result;
}

struct PatchifyOperands {
  Values image, baseline, alpha, noise, keep, fill;  ///< empty where the op's pointer is null
  Values extremes;                                   ///< of the Gaussian noise
};

/// The deviation of a noise, `extremes` being what its pointer points to, or empty where it is
/// null.
inline double deviation(const kernels::GaussianNoise& noise, const Values& extremes) {
  if (extremes.empty()) return static_cast<double>(noise.sigma);
  return noise.level * (at(extremes, 1) - at(extremes, 0));
}

/// Where pixel (channel, y, x) of a grid goes: (patch, column).
inline std::array<index_t, 2> patch_place(index_t patch_size, index_t grid_width, index_t channel,
                                          index_t y, index_t x) {
  return {y / patch_size * grid_width + x / patch_size,
          (channel * patch_size + y % patch_size) * patch_size + x % patch_size};
}

template <class T>
Values patchify(const kernels::Patchify& a, const PatchifyOperands& v) {
  const index_t columns = a.channels * a.patch_size * a.patch_size;
  const index_t cells = a.grid_height * a.grid_width;
  Values result = zeros(a.items * cells * columns);
  for (index_t item = 0; item < a.items; ++item) {
    for (index_t c = 0; c < a.channels; ++c) {
      for (index_t y = 0; y < a.grid_height * a.patch_size; ++y) {
        for (index_t x = 0; x < a.grid_width * a.patch_size; ++x) {
          const index_t pixel = (c * a.height + y) * a.width + x;
          T value = at<T>(v.image, item * a.image_stride + pixel);
          if (!v.alpha.empty()) {
            const T baseline = v.baseline.empty() ? T(0) : at<T>(v.baseline, pixel);
            value = baseline + at<T>(v.alpha, item) * (value - baseline);
          }
          if (!v.noise.empty()) {
            value += at<T>(v.noise, item * a.channels * a.height * a.width + pixel);
          }
          if (const double sigma = deviation(a.gaussian, v.extremes); sigma > 0.) {
            const auto sample = a.gaussian.first_sample + static_cast<std::uint32_t>(item);
            value += static_cast<T>(sigma * normal(a.gaussian, sample, pixel));
          }
          const auto [patch, column] = patch_place(a.patch_size, a.grid_width, c, y, x);
          if (!v.keep.empty() && at(v.keep, item * cells + patch) == 0.) value = at<T>(v.fill, c);
          put(result, (item * cells + patch) * columns + column, stored(value, a.patches.dtype));
        }
      }
    }
  }
  return result;
}

/// The image gradient after the op: `initial` is read with sum_items only.
template <class T>
Values unpatchify_gradient(const kernels::UnpatchifyGradient& a, const Values& patches,
                           const Values& initial) {
  const index_t columns = a.channels * a.patch_size * a.patch_size;
  const index_t cells = a.grid_height * a.grid_width;
  const index_t pixels = a.channels * a.height * a.width;
  Values result = a.sum_items ? initial : zeros(a.items * pixels);
  for (index_t item = 0; item < a.items; ++item) {
    for (index_t c = 0; c < a.channels; ++c) {
      for (index_t y = 0; y < a.grid_height * a.patch_size; ++y) {
        for (index_t x = 0; x < a.grid_width * a.patch_size; ++x) {
          const auto [patch, column] = patch_place(a.patch_size, a.grid_width, c, y, x);
          const index_t to = (a.sum_items ? 0 : item * pixels) + (c * a.height + y) * a.width + x;
          put(result, to,
              at<T>(result, to) + static_cast<T>(a.weight) *
                                      at<T>(patches, (item * cells + patch) * columns + column));
        }
      }
    }
  }
  return result;
}

/// One axis of Pillow's resize: `lines` lines of `source` pixels of 3 bytes -> `resized` pixels.
/// `step` is the distance of pixels along the axis, `line_step` of lines, in pixels.
struct ResizeAxis {
  index_t source, resized, lines;
};

inline std::vector<std::array<double, 2>> pillow_weights(index_t source, index_t resized,
                                                         index_t at_) {
  const double scale = static_cast<double>(source) / static_cast<double>(resized);
  const double reduction = std::max(1., scale), centre = (static_cast<double>(at_) + .5) * scale;
  const auto filter = [](double x) {
    x = std::abs(x);
    if (x < 1.) return (1.5 * x - 2.5) * x * x + 1.;
    if (x < 2.) return (((x - 5.) * x + 8.) * x - 4.) * -.5;
    return 0.;
  };
  std::vector<std::array<double, 2>> weights;  // source pixel, weight
  double sum = 0.;
  const auto first = std::max<index_t>(0, static_cast<index_t>(centre - 2. * reduction + .5));
  const auto end = std::min<index_t>(source, static_cast<index_t>(centre + 2. * reduction + .5));
  for (index_t k = first; k < end; ++k) {
    const double weight = filter((static_cast<double>(k) - centre + .5) * (1. / reduction));
    weights.push_back({static_cast<double>(k), weight});
    sum += weight;
  }
  for (auto& [pixel, weight] : weights) {
    const double scaled = weight / sum * 4194304.;  // 2^22
    weight = std::trunc(scaled + (scaled < 0. ? -.5 : .5));
  }
  return weights;
}

/// Rows of an image (height, width, 3) resized to `resized` columns; each result rounded to 8 bits.
inline Values resize_columns(const Values& image, index_t height, index_t width, index_t resized) {
  if (width == resized) return image;
  Values result = zeros(height * resized * 3);
  for (index_t x = 0; x < resized; ++x) {
    const auto weights = pillow_weights(width, resized, x);
    for (index_t y = 0; y < height; ++y) {
      for (index_t c = 0; c < 3; ++c) {
        double sum = 2097152.;  // one half, in 22-bit fixed point
        for (const auto& [pixel, weight] : weights) {
          sum += at(image, (y * width + static_cast<index_t>(pixel)) * 3 + c) * weight;
        }
        put(result, (y * resized + x) * 3 + c, std::clamp(std::floor(sum / 4194304.), 0., 255.));
      }
    }
  }
  return result;
}

inline Values transposed(const Values& image, index_t height, index_t width) {
  Values result = zeros(height * width * 3);
  for (index_t y = 0; y < height; ++y) {
    for (index_t x = 0; x < width; ++x) {
      for (index_t c = 0; c < 3; ++c) {
        put(result, (x * height + y) * 3 + c, at(image, (y * width + x) * 3 + c));
      }
    }
  }
  return result;
}

/// The crop of the resized image, (crop_height, crop_width, 3) in 0..255.
inline Values resample(const kernels::ResampleNormalize& a, const Values& source) {
  const Values wide = resize_columns(source, a.source_height, a.source_width, a.resized_width);
  const Values turned = transposed(wide, a.source_height, a.resized_width);
  const Values resized =
      transposed(resize_columns(turned, a.resized_width, a.source_height, a.resized_height),
                 a.resized_width, a.resized_height);
  Values crop;
  for (index_t y = a.crop_top; y < a.crop_top + a.crop_height; ++y) {
    for (index_t x = a.crop_left; x < a.crop_left + a.crop_width; ++x) {
      for (index_t c = 0; c < 3; ++c)
        crop.push_back(at(resized, (y * a.resized_width + x) * 3 + c));
    }
  }
  return crop;
}

/// The overlay before its last rounding, (height, width, 3) in 0..255.
inline Values render(const kernels::RenderOverlay& a, const Values& map, const Values& image,
                     const Values& colormap) {
  const auto cell = [&](index_t y, index_t x) {
    return at(map, std::clamp<index_t>(y, 0, a.grid_height - 1) * a.grid_width +
                       std::clamp<index_t>(x, 0, a.grid_width - 1));
  };
  Values heat;
  for (index_t y = 0; y < a.height; ++y) {
    for (index_t x = 0; x < a.width; ++x) {
      const double ratio_y = static_cast<double>(a.grid_height) / static_cast<double>(a.height);
      const double ratio_x = static_cast<double>(a.grid_width) / static_cast<double>(a.width);
      if (a.upsampling == kernels::Upsampling::nearest) {
        heat.push_back(cell(y * a.grid_height / a.height, x * a.grid_width / a.width));
        continue;
      }
      const double v = (static_cast<double>(y) + .5) * ratio_y - .5;
      const double u = (static_cast<double>(x) + .5) * ratio_x - .5;
      const auto row = static_cast<index_t>(std::floor(v)),
                 column = static_cast<index_t>(std::floor(u));
      const double t = v - static_cast<double>(row), s = u - static_cast<double>(column);
      heat.push_back((1. - t) * ((1. - s) * cell(row, column) + s * cell(row, column + 1)) +
                     t * ((1. - s) * cell(row + 1, column) + s * cell(row + 1, column + 1)));
    }
  }
  const auto min_max = [](Values& values) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double least = *low, range = *high - *low;
    for (double& v : values) v = range > 0. ? (v - least) / range : 0.;
  };
  min_max(heat);
  Values result;
  for (index_t pixel = 0; pixel < a.height * a.width; ++pixel) {
    const auto colour = static_cast<index_t>(std::floor(255. * at(heat, pixel) + .5));
    for (index_t c = 0; c < 3; ++c) {
      const double hot = at(colormap, colour * 3 + c);
      if (image.empty()) {
        result.push_back(hot);
      } else if (a.blend == kernels::Blend::add) {
        result.push_back(hot + at(image, pixel * 3 + c));
      } else {
        const auto alpha = static_cast<double>(a.alpha);
        result.push_back(alpha * hot + (1. - alpha) * at(image, pixel * 3 + c));
      }
    }
  }
  if (!image.empty() && a.blend == kernels::Blend::add) {
    min_max(result);
    for (double& v : result) v *= 255.;
  }
  return result;
}

}  // namespace vitsnna::oracle
