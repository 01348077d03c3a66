// Bicubic resizing in Pillow's arithmetic, a crop of the result, and its normalisation.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr int fraction_bits =
    22;  ///< of a coefficient: 32 bits, less 8 of a pixel, less 2 to spare
constexpr double filter_support = 2.;

/// Cubic convolution with a = -1/2.
double bicubic(double x) {
  constexpr double a = -.5;
  x = std::abs(x);
  if (x < 1.) return ((a + 2.) * x - (a + 3.)) * x * x + 1;
  if (x < 2.) return (((x - 5.) * x + 8.) * x - 4.) * a;
  return 0.;
}

/// One axis of the resize: which window of the source makes which window of the result.
struct Axis {
  index_t source = 0, resized = 0;
  index_t crop_first = 0, crop = 0;
  bool copies() const { return source == resized; }
  double scale() const { return static_cast<double>(source) / static_cast<double>(resized); }
  double filter_scale() const { return std::max(scale(), 1.); }
  /// Most coefficients that one pixel of the result has.
  index_t most_taps() const {
    return static_cast<index_t>(std::ceil(filter_support * filter_scale())) * 2 + 1;
  }
  /// Source pixels that pixel `at` of the result is made of.
  index_t first(index_t at) const {
    if (copies()) return at;
    return std::max<index_t>(0, static_cast<index_t>(centre(at) - reach() + .5));
  }
  index_t end(index_t at) const {
    if (copies()) return at + 1;
    return std::min<index_t>(source, static_cast<index_t>(centre(at) + reach() + .5));
  }
  double centre(index_t at) const { return (static_cast<double>(at) + .5) * scale(); }
  double reach() const { return filter_support * filter_scale(); }
  /// Source rows (or columns) that the window of the result needs: [needed_first, needed_end).
  index_t needed_first() const { return first(crop_first); }
  index_t needed_end() const { return end(crop_first + crop - 1); }
};

/// Coefficients of pixel `at`: normalised in double, then rounded half away from zero.
void coefficients(const Axis& axis, index_t at, std::int32_t* fixed) {
  const index_t first = axis.first(at), count = axis.end(at) - first;
  const double centre = axis.centre(at), inverse = 1. / axis.filter_scale();
  const auto weight = [&](index_t k) {
    return bicubic((static_cast<double>(k + first) - centre + .5) * inverse);
  };
  double sum = 0.;
  for (index_t k = 0; k < count; ++k) sum += weight(k);
  for (index_t k = 0; k < count; ++k) {
    const double normalised = sum != 0. ? weight(k) / sum : weight(k);
    const double scaled = normalised * (1 << fraction_bits);
    fixed[k] = static_cast<std::int32_t>(normalised < 0. ? -.5 + scaled : .5 + scaled);
  }
}

std::uint8_t clip(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> fraction_bits, 0, 255));
}

struct Plan {
  Axis vertical, horizontal;
  index_t intermediate = 0;  ///< offset of (needed rows, crop_width, 3) bytes
  index_t row_taps = 0, column_taps = 0;
  index_t bytes = 0;

  explicit Plan(const ResampleNormalize& a)
      : vertical{a.source_height, a.resized_height, a.crop_top, a.crop_height},
        horizontal{a.source_width, a.resized_width, a.crop_left, a.crop_width} {
    ScratchPlan scratch;
    const index_t needed = vertical.needed_end() - vertical.needed_first();
    intermediate = scratch.reserve(needed * a.crop_width * 3);
    row_taps = scratch.reserve(a.crop_height * vertical.most_taps() * 4);
    column_taps = scratch.reserve(a.crop_width * horizontal.most_taps() * 4);
    bytes = scratch.bytes();
  }
};

}  // namespace

index_t resample_normalize_scratch(const Queue&, const ResampleNormalize& a) {
  if (a.crop_height == 0 || a.crop_width == 0) return 0;
  return Plan(a).bytes;
}

void resample_normalize(Queue& queue, const ResampleNormalize& a) {
  if (a.crop_height == 0 || a.crop_width == 0) return;
  const Plan plan(a);
  const Axis &vertical = plan.vertical, &horizontal = plan.horizontal;
  auto* intermediate = scratch_at<std::uint8_t>(queue, plan.intermediate);
  auto* row_taps = scratch_at<std::int32_t>(queue, plan.row_taps);
  auto* column_taps = scratch_at<std::int32_t>(queue, plan.column_taps);
  for (index_t x = 0; x < a.crop_width && !horizontal.copies(); ++x) {
    coefficients(horizontal, a.crop_left + x, column_taps + x * horizontal.most_taps());
  }
  for (index_t y = 0; y < a.crop_height && !vertical.copies(); ++y) {
    coefficients(vertical, a.crop_top + y, row_taps + y * vertical.most_taps());
  }
  constexpr std::int32_t half = 1 << (fraction_bits - 1);
  const index_t row_bytes = a.crop_width * 3;
  const index_t first_row = vertical.needed_first();

  // Horizontal pass, of the source rows that the window needs.
  for_row_blocks(queue, 1, vertical.needed_end() - first_row, 8,
                 [&](index_t, index_t begin, index_t end, int) {
                   for (index_t y = begin; y < end; ++y) {
                     const std::uint8_t* from = a.source + (first_row + y) * a.source_width * 3;
                     std::uint8_t* to = intermediate + y * row_bytes;
                     if (horizontal.copies()) {
                       std::memcpy(to, from + a.crop_left * 3, static_cast<std::size_t>(row_bytes));
                       continue;
                     }
                     for (index_t x = 0; x < a.crop_width; ++x) {
                       const index_t first = horizontal.first(a.crop_left + x);
                       const index_t count = horizontal.end(a.crop_left + x) - first;
                       const std::int32_t* weight = column_taps + x * horizontal.most_taps();
                       std::int32_t red = half, green = half, blue = half;
                       for (index_t k = 0; k < count; ++k) {
                         const std::uint8_t* pixel = from + (first + k) * 3;
                         red += pixel[0] * weight[k];
                         green += pixel[1] * weight[k];
                         blue += pixel[2] * weight[k];
                       }
                       to[3 * x] = clip(red);
                       to[3 * x + 1] = clip(green);
                       to[3 * x + 2] = clip(blue);
                     }
                   }
                 });

  // Vertical pass and normalisation, in pieces of a row that fit on the stack.
  parallel_for(queue, a.crop_height, [&](index_t y, int) {
    constexpr index_t piece = 3 * 256;
    const index_t first = vertical.first(a.crop_top + y);
    const index_t count = vertical.end(a.crop_top + y) - first;
    const std::int32_t* weight = row_taps + y * vertical.most_taps();
    const std::uint8_t* from = intermediate + (first - first_row) * row_bytes;
    const index_t plane = a.crop_height * a.crop_width;
    for (index_t left = 0; left < row_bytes; left += piece) {
      const index_t width = std::min(piece, row_bytes - left);
      std::uint8_t pixels[piece];
      if (vertical.copies()) {
        std::memcpy(pixels, from + left, static_cast<std::size_t>(width));
      } else {
        std::int32_t sums[piece];
        std::fill_n(sums, width, half);
        for (index_t k = 0; k < count; ++k) {
          const std::uint8_t* row = from + k * row_bytes + left;
          for (index_t i = 0; i < width; ++i) sums[i] += row[i] * weight[k];
        }
        for (index_t i = 0; i < width; ++i) pixels[i] = clip(sums[i]);
      }
      if (a.resized) {
        std::memcpy(a.resized + y * row_bytes + left, pixels, static_cast<std::size_t>(width));
      }
      for (index_t channel = 0; channel < 3 && a.output; ++channel) {
        float* to = a.output + channel * plane + y * a.crop_width + left / 3;
        for (index_t x = 0; x < width / 3; ++x) {
          const float value = static_cast<float>(pixels[3 * x + channel]) / 255.f;
          to[x] = (value - a.mean[channel]) / a.deviation[channel];
        }
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
