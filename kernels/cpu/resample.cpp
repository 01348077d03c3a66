// Bicubic resizing in Pillow's arithmetic, a crop of the result, and its normalisation.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/resample_lines.h"
#include "kernels/cpu/row_operands.h"

namespace vitsnna::kernels::cpu {
namespace {

using resample_math::Axis;

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
  fill_taps(horizontal, column_taps);
  fill_taps(vertical, row_taps);
  const index_t row_bytes = a.crop_width * 3;
  const index_t first_row = vertical.needed_first();

  // Horizontal pass, of the source rows that the window needs.
  for_row_blocks(queue, 1, vertical.needed_end() - first_row, 8,
                 [&](index_t, index_t begin, index_t end, int) {
                   for (index_t y = begin; y < end; ++y) {
                     resample_row(a.source + (first_row + y) * a.source_width * 3, horizontal,
                                  column_taps, intermediate + y * row_bytes);
                   }
                 });

  // Vertical pass and normalisation, in pieces of a row that fit on the stack.
  parallel_for(queue, a.crop_height, [&](index_t y, int) {
    const index_t plane = a.crop_height * a.crop_width;
    for (index_t left = 0; left < row_bytes; left += kResamplePiece) {
      const index_t width = std::min(kResamplePiece, row_bytes - left);
      std::uint8_t pixels[kResamplePiece];
      resample_piece(intermediate + left, row_bytes, vertical, row_taps, y, width, pixels);
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
