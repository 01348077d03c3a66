// Bicubic resizing in Pillow's arithmetic, a crop of the result, and its normalisation.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/resample_math.h"

namespace vitsnna::kernels::cpu {
namespace {

using resample_math::Axis;
using resample_math::coefficients;
using resample_math::half;
using resample_math::to_pixel;

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
                       to[3 * x] = to_pixel(red);
                       to[3 * x + 1] = to_pixel(green);
                       to[3 * x + 2] = to_pixel(blue);
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
        for (index_t i = 0; i < width; ++i) pixels[i] = to_pixel(sums[i]);
      }
      if (a.resized) {
        std::memcpy(a.resized + y * row_bytes + left, pixels, static_cast<std::size_t>(width));
      }
      for (index_t channel = 0; channel < 3 && a.output; ++channel) {
        float* to = a.output + channel * plane + y * a.crop_width + left / 3;
        for (index_t x = 0; x < width / 3; ++x) {
          to[x] = resample_math::normalised(pixels[3 * x + channel], a.mean[channel],
                                            a.deviation[channel]);
        }
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
