// The augmentation of crops, one crop a thread: every intermediate stays in that thread's scratch.
#include <algorithm>
#include <utility>

#include "kernels/augment_math.h"
#include "kernels/bf16.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/resample_lines.h"
#include "kernels/cpu/scratch.h"

namespace vitsnna::kernels::cpu {
namespace {

using augment_math::Pixel;
using resample_math::Axis;

/// Offsets in one thread's scratch.
struct Plan {
  index_t rows = 0, row_taps = 0, column_taps = 0, pixels = 0, other = 0;
  index_t bytes = 0;

  explicit Plan(const Augment& a) {
    ScratchPlan scratch;
    const Axis vertical{a.most_rows, a.height, 0, a.height};
    const Axis horizontal{a.most_columns, a.width, 0, a.width};
    rows = scratch.reserve(a.most_rows * a.width * 3);
    row_taps = scratch.reserve(a.height * vertical.most_taps() * 4);
    column_taps = scratch.reserve(a.width * horizontal.most_taps() * 4);
    pixels = scratch.reserve(a.height * a.width * 3);
    other = scratch.reserve(a.height * a.width * 3);
    bytes = scratch.bytes();
  }
};

void resize(const Augment& a, const AugmentCrop& crop, std::byte* scratch, const Plan& plan,
            std::uint8_t* pixels) {
  const Axis vertical{crop.height, crop.resized_height, crop.window_top, a.height};
  const Axis horizontal{crop.width, crop.resized_width, crop.window_left, a.width};
  auto* rows = reinterpret_cast<std::uint8_t*>(scratch + plan.rows);
  auto* row_taps = reinterpret_cast<std::int32_t*>(scratch + plan.row_taps);
  auto* column_taps = reinterpret_cast<std::int32_t*>(scratch + plan.column_taps);
  fill_taps(vertical, row_taps);
  fill_taps(horizontal, column_taps);
  const index_t row_bytes = a.width * 3, first = vertical.needed_first();
  const std::uint8_t* box =
      a.images + crop.image + (index_t{crop.top} * crop.image_width + crop.left) * 3;
  for (index_t y = first; y < vertical.needed_end(); ++y) {
    resample_row(box + y * crop.image_width * 3, horizontal, column_taps,
                 rows + (y - first) * row_bytes);
  }
  for (index_t y = 0; y < a.height; ++y) {
    for (index_t left = 0; left < row_bytes; left += kResamplePiece) {
      const index_t width = std::min(kResamplePiece, row_bytes - left);
      resample_piece(rows + left, row_bytes, vertical, row_taps, y, width,
                     pixels + y * row_bytes + left);
    }
  }
}

Pixel load(const std::uint8_t* from) { return {from[0], from[1], from[2]}; }
void store(std::uint8_t* to, Pixel p) {
  to[0] = p.red;
  to[1] = p.green;
  to[2] = p.blue;
}

/// Steps first .. last - 1 of the jitter.
void adjust(std::uint8_t* pixels, index_t count, const ColorStep* first, const ColorStep* last,
            int mean) {
  for (; first != last; ++first) {
    if (first->kind == ColorKind::none) continue;
    for (index_t i = 0; i < count; ++i) {
      store(pixels + 3 * i, augment_math::adjusted(load(pixels + 3 * i), *first, mean));
    }
  }
}

void jitter(std::uint8_t* pixels, index_t count, const AugmentCrop& crop) {
  const int contrast = augment_math::contrast_place(crop);
  adjust(pixels, count, crop.color, crop.color + contrast, 0);
  if (contrast == 4) return;
  std::uint64_t sum = 0;
  for (index_t i = 0; i < count; ++i) sum += augment_math::luma(load(pixels + 3 * i));
  const int mean = augment_math::mean_luma(sum, static_cast<std::uint64_t>(count));
  adjust(pixels, count, crop.color + contrast, crop.color + 4, mean);
}

/// Six box blurs, three along each axis, from one buffer to the other and back: the result is in
/// `pixels` again.
void blur(std::uint8_t* pixels, std::uint8_t* other, index_t height, index_t width,
          const BoxBlur& box) {
  const index_t row_bytes = width * 3;
  for (int pass = 0; pass < 6; ++pass) {
    const bool along_rows = pass < 3;
    const auto length = static_cast<std::int32_t>(along_rows ? width : height);
    const index_t step = along_rows ? 3 : row_bytes;
    for (index_t y = 0; y < height; ++y) {
      for (index_t x = 0; x < width; ++x) {
        for (index_t c = 0; c < 3; ++c) {
          const std::uint8_t* line = pixels + (along_rows ? y * row_bytes : x * 3) + c;
          other[y * row_bytes + x * 3 + c] = augment_math::blurred(
              line, length, step, static_cast<std::int32_t>(along_rows ? x : y), box);
        }
      }
    }
    std::swap(pixels, other);
  }
}

void write(const Augment& a, const AugmentCrop& crop, index_t item, const std::uint8_t* pixels) {
  for (index_t y = 0; y < a.height; ++y) {
    for (index_t x = 0; x < a.width; ++x) {
      const std::uint8_t* from = pixels + (y * a.width + (crop.flip ? a.width - 1 - x : x)) * 3;
      for (index_t c = 0; c < 3; ++c) {
        const std::uint8_t value = augment_math::solarised(from[c], crop.solarize);
        const index_t place = y * a.width + x;
        if (a.pixels) a.pixels[(item * a.height * a.width + place) * 3 + c] = value;
        if (!a.output.data) continue;
        const float normal = resample_math::normalised(value, a.mean[c], a.deviation[c]);
        void* to = element(a.output, item, c, place);
        if (a.output.dtype == DType::f32) {
          *static_cast<float*>(to) = normal;
        } else {
          *static_cast<bf16*>(to) = to_bf16(normal);
        }
      }
    }
  }
}

}  // namespace

index_t augment_scratch(const Queue& queue, const Augment& a) {
  if (a.crops == 0 || a.height == 0 || a.width == 0) return 0;
  return Plan(a).bytes * std::max(queue.num_threads, 1);
}

void augment(Queue& queue, const Augment& a) {
  if (a.crops == 0 || a.height == 0 || a.width == 0) return;
  const Plan plan(a);
  parallel_for(queue, a.crops, [&](index_t item, int thread) {
    const AugmentCrop& crop = a.crop[item];
    auto* scratch = scratch_at<std::byte>(queue, thread * plan.bytes);
    auto* pixels = reinterpret_cast<std::uint8_t*>(scratch + plan.pixels);
    resize(a, crop, scratch, plan, pixels);
    const index_t count = a.height * a.width;
    jitter(pixels, count, crop);
    if (crop.grayscale) {
      for (index_t i = 0; i < count; ++i) {
        const std::uint8_t grey = augment_math::luma(load(pixels + 3 * i));
        store(pixels + 3 * i, {grey, grey, grey});
      }
    }
    if (crop.blur.full != 0) {
      blur(pixels, reinterpret_cast<std::uint8_t*>(scratch + plan.other), a.height, a.width,
           crop.blur);
    }
    // The flip commutes with every step but the resize's window, so it is left to the writing.
    write(a, crop, item, pixels);
  });
}

}  // namespace vitsnna::kernels::cpu
