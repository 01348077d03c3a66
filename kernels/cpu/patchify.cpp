// Images to rows of patch pixels, and the gradient's way back.
#include <algorithm>

#include "kernels/bf16.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/row_loops.h"

namespace vitsnna::kernels::cpu {
namespace {

/// Pixels of one image row that are worked on at a time, on the stack.
constexpr index_t segment = 512;

/// x = baseline + alpha (image - baseline) + noise for pixels [first, first + count) of one
/// channel's image, counted row-major over (channels, height, width).
void interpolate(const Patchify& a, const RowLoops& loops, index_t item, index_t first,
                 index_t count, float* x) {
  const index_t pixels = a.channels * a.height * a.width;
  const float* image = a.image + item * a.image_stride + first;
  if (a.alpha) {
    const float alpha = a.alpha[item];
    for (index_t i = 0; i < count; ++i) {
      const float baseline = a.baseline ? a.baseline[first + i] : 0.f;
      x[i] = baseline + alpha * (image[i] - baseline);
    }
  } else {
    std::copy_n(image, count, x);
  }
  if (a.noise) {
    const float* noise = a.noise + item * pixels + first;
    for (index_t i = 0; i < count; ++i) x[i] += noise[i];
  }
  if (draws(a.gaussian)) {
    float noise[segment];
    loops.gaussian(a.gaussian, a.gaussian.first_sample + static_cast<std::uint32_t>(item), first,
                   count, noise);
    for (index_t i = 0; i < count; ++i) x[i] += noise[i];
  }
}

/// Pixels of one image row into the columns that they have in their patches' rows.
template <class Store>
void scatter(const Patchify& a, index_t item, index_t grid_row, index_t channel, index_t y,
             index_t x_first, index_t count, const float* x, const Store& store) {
  for (index_t i = 0; i < count;) {
    const index_t patch_column = (x_first + i) / a.patch_size;
    const index_t inside = (x_first + i) % a.patch_size;
    const index_t run = std::min(a.patch_size - inside, count - i);
    const index_t patch = grid_row * a.grid_width + patch_column;
    const index_t column = (channel * a.patch_size + y) * a.patch_size + inside;
    const bool kept = !a.patch_keep || a.patch_keep[item * a.grid_height * a.grid_width + patch];
    void* row = element(a.patches, item, patch, column);
    for (index_t k = 0; k < run; ++k) store(row, k, kept ? x[i + k] : a.fill[channel]);
    i += run;
  }
}

}  // namespace

void patchify(Queue& queue, const Patchify& args) {
  Patchify a = args;
  a.gaussian = settled(args.gaussian);
  const RowLoops& loops = row_loops();
  const index_t width = a.grid_width * a.patch_size;
  parallel_for(queue, a.items * a.grid_height, [&](index_t task, int) {
    const index_t item = task / a.grid_height;
    const index_t grid_row = task % a.grid_height;
    float x[segment];
    for (index_t channel = 0; channel < a.channels; ++channel) {
      for (index_t y = 0; y < a.patch_size; ++y) {
        const index_t row = (channel * a.height + grid_row * a.patch_size + y) * a.width;
        for (index_t left = 0; left < width; left += segment) {
          const index_t count = std::min(segment, width - left);
          interpolate(a, loops, item, row + left, count, x);
          if (a.patches.dtype == DType::f32) {
            scatter(a, item, grid_row, channel, y, left, count, x,
                    [](void* to, index_t k, float value) { static_cast<float*>(to)[k] = value; });
          } else {
            scatter(a, item, grid_row, channel, y, left, count, x,
                    [](void* to, index_t k, float value) {
                      static_cast<bf16*>(to)[k] = to_bf16(value);
                    });
          }
        }
      }
    }
  });
}

/// One task is one image row of one gradient; with sum_items it takes all items, in order.
void unpatchify_gradient(Queue& queue, const UnpatchifyGradient& a) {
  const index_t gradients = a.sum_items ? 1 : a.items;
  const index_t grid_pixels_high = a.grid_height * a.patch_size;
  const index_t grid_pixels_wide = a.grid_width * a.patch_size;
  for_row_blocks(
      queue, gradients * a.channels, a.height, rows_per_task,
      [&](index_t plane, index_t first, index_t end, int) {
        const index_t channel = plane % a.channels;
        const index_t first_item = a.sum_items ? 0 : plane / a.channels;
        const index_t end_item = a.sum_items ? a.items : first_item + 1;
        for (index_t y = first; y < end; ++y) {
          float* row = a.image_gradient + (plane * a.height + y) * a.width;
          if (!a.sum_items) {
            const index_t covered = y < grid_pixels_high ? grid_pixels_wide : 0;
            std::fill(row + covered, row + a.width, 0.f);
          }
          if (y >= grid_pixels_high) continue;
          for (index_t item = first_item; item < end_item; ++item) {
            for (index_t patch_column = 0; patch_column < a.grid_width; ++patch_column) {
              const index_t patch = y / a.patch_size * a.grid_width + patch_column;
              const index_t column = (channel * a.patch_size + y % a.patch_size) * a.patch_size;
              const auto* pixels =
                  static_cast<const float*>(element(a.patches_gradient, item, patch, column));
              float* to = row + patch_column * a.patch_size;
              for (index_t k = 0; k < a.patch_size; ++k) {
                const float value = a.weight * pixels[k];
                to[k] = a.sum_items ? to[k] + value : value;
              }
            }
          }
        }
      });
}

}  // namespace vitsnna::kernels::cpu
