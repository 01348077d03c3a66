// The augmentation of crops in one kernel: a block takes a crop through the whole chain, its
// intermediates in global scratch of its own (which the L2 cache holds), a barrier between steps.
#include "kernels/augment_math.h"
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/shared.h"
#include "kernels/resample_math.h"

namespace vitsnna::kernels::cuda {
namespace {

using augment_math::Pixel;
using resample_math::Axis;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
/// Blocks at once, each with scratch; more crops are taken in turns.
constexpr index_t kMostBlocks = 512;

/// One block's scratch, by offsets from its start.
struct Plan {
  index_t rows = 0, row_taps = 0, column_taps = 0, pixels = 0, other = 0;
  index_t bytes = 0;

  explicit Plan(const Augment& a) {
    const Axis vertical{a.most_rows, a.height, 0, a.height};
    const Axis horizontal{a.most_columns, a.width, 0, a.width};
    rows = reserve(a.most_rows * a.width * 3);
    row_taps = reserve(a.height * vertical.most_taps() * 4);
    column_taps = reserve(a.width * horizontal.most_taps() * 4);
    pixels = reserve(a.height * a.width * 3);
    other = reserve(a.height * a.width * 3);
  }

 private:
  index_t reserve(index_t count) {
    const index_t offset = bytes;
    bytes += ceil_div(count, 64) * 64;
    return offset;
  }
};

__device__ __forceinline__ Pixel load_pixel(const std::uint8_t* from) {
  return {from[0], from[1], from[2]};
}
__device__ __forceinline__ void store_pixel(std::uint8_t* to, Pixel p) {
  to[0] = p.red;
  to[1] = p.green;
  to[2] = p.blue;
}

/// Sum of `count` source pixels, `step` bytes apart.
__device__ __forceinline__ Pixel filtered(const std::uint8_t* from, index_t step,
                                          const std::int32_t* fixed, std::int32_t count) {
  std::int32_t red = resample_math::half, green = red, blue = red;
  for (std::int32_t k = 0; k < count; ++k, from += step) {
    const std::int32_t weight = fixed[k];
    red += from[0] * weight;
    green += from[1] * weight;
    blue += from[2] * weight;
  }
  return {resample_math::to_pixel(red), resample_math::to_pixel(green),
          resample_math::to_pixel(blue)};
}

__device__ __forceinline__ void fill_taps(const Axis& axis, std::int32_t* taps) {
  for (index_t at = threadIdx.x; at < axis.crop; at += kThreads) {
    resample_math::coefficients(axis, axis.crop_first + at, taps + at * axis.most_taps());
  }
}

/// The box of the picture to the window of the resized box. Ends with every thread's pixels
/// written, not yet seen by the others.
__device__ __forceinline__ void resize(const Augment& a, const AugmentCrop& crop,
                                       unsigned char* scratch, const Plan& plan,
                                       std::uint8_t* pixels) {
  const Axis vertical{crop.height, crop.resized_height, crop.window_top, a.height};
  const Axis horizontal{crop.width, crop.resized_width, crop.window_left, a.width};
  auto* rows = scratch + plan.rows;
  auto* row_taps = reinterpret_cast<std::int32_t*>(scratch + plan.row_taps);
  auto* column_taps = reinterpret_cast<std::int32_t*>(scratch + plan.column_taps);
  fill_taps(vertical, row_taps);
  fill_taps(horizontal, column_taps);
  __syncthreads();
  const index_t first_row = vertical.needed_first();
  const index_t needed = (vertical.needed_end() - first_row) * a.width;
  const std::uint8_t* box =
      a.images + crop.image + (index_t{crop.top} * crop.image_width + crop.left) * 3;
  const index_t column_places = horizontal.most_taps(), row_places = vertical.most_taps();
  for (index_t at = threadIdx.x; at < needed; at += kThreads) {
    const index_t y = at / a.width, x = at - y * a.width;
    const index_t first = horizontal.first(crop.window_left + x);
    const auto count = static_cast<std::int32_t>(horizontal.end(crop.window_left + x) - first);
    store_pixel(rows + at * 3, filtered(box + ((first_row + y) * crop.image_width + first) * 3, 3,
                                        column_taps + x * column_places, count));
  }
  __syncthreads();
  const index_t count_pixels = a.height * a.width;
  for (index_t at = threadIdx.x; at < count_pixels; at += kThreads) {
    const index_t y = at / a.width, x = at - y * a.width;
    const index_t first = vertical.first(crop.window_top + y);
    const auto count = static_cast<std::int32_t>(vertical.end(crop.window_top + y) - first);
    store_pixel(pixels + at * 3, filtered(rows + ((first - first_row) * a.width + x) * 3,
                                          a.width * 3, row_taps + y * row_places, count));
  }
}

/// Mean L of the crop, to every thread. Each thread reads only the pixels that it wrote; the
/// barriers of a crop's other steps keep the sums of the crop before from being overwritten too
/// early.
__device__ __forceinline__ int mean_luma(const std::uint8_t* pixels, index_t count,
                                         Shared<std::uint64_t> sums) {
  std::uint64_t sum = 0;
  for (index_t at = threadIdx.x; at < count; at += kThreads) {
    sum += augment_math::luma(load_pixel(pixels + at * 3));
  }
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  }
  if (lane_index() == 0) sums[warp_index()] = sum;
  __syncthreads();
  sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp];
  return augment_math::mean_luma(sum, static_cast<std::uint64_t>(count));
}

/// Jitter and grayscale: point by point, but for the mean that the contrast is taken against.
__device__ __forceinline__ void recolour(const AugmentCrop& crop, std::uint8_t* pixels,
                                         index_t count, Shared<std::uint64_t> sums) {
  const int contrast = augment_math::contrast_place(crop);
  int mean = 0;
  if (contrast < 4) {  // the same for all threads of the block
    for (index_t at = threadIdx.x; at < count; at += kThreads) {
      Pixel p = load_pixel(pixels + at * 3);
      for (int k = 0; k < contrast; ++k) p = augment_math::adjusted(p, crop.color[k], 0);
      store_pixel(pixels + at * 3, p);
    }
    mean = mean_luma(pixels, count, sums);
  }
  for (index_t at = threadIdx.x; at < count; at += kThreads) {
    Pixel p = load_pixel(pixels + at * 3);
    for (int k = contrast < 4 ? contrast : 0; k < 4; ++k) {
      p = augment_math::adjusted(p, crop.color[k], mean);
    }
    if (crop.grayscale) {
      const std::uint8_t grey = augment_math::luma(p);
      p = {grey, grey, grey};
    }
    store_pixel(pixels + at * 3, p);
  }
}

/// Six box blurs, to the other buffer and back: the result is in `pixels` again.
__device__ __forceinline__ void blur(std::uint8_t* pixels, std::uint8_t* other, index_t height,
                                     index_t width, const BoxBlur& box) {
  const index_t count = height * width * 3;
#pragma unroll 1
  for (int pass = 0; pass < 6; ++pass) {
    __syncthreads();
    const std::uint8_t* from = pass % 2 == 0 ? pixels : other;
    std::uint8_t* to = pass % 2 == 0 ? other : pixels;
    const bool along_rows = pass < 3;
    const auto length = static_cast<std::int32_t>(along_rows ? width : height);
    const index_t step = along_rows ? 3 : width * 3;
    for (index_t at = threadIdx.x; at < count; at += kThreads) {
      const index_t y = at / (width * 3), of_row = at - y * width * 3;
      const index_t x = of_row / 3;
      const std::uint8_t* line = from + (along_rows ? y * width * 3 + (of_row - x * 3) : of_row);
      to[at] = augment_math::blurred(line, length, step,
                                     static_cast<std::int32_t>(along_rows ? x : y), box);
    }
  }
}

template <class Out>
__global__ void __launch_bounds__(kThreads)
    augment_kernel(Augment a, unsigned char* all_scratch, Plan plan) {
  SharedMemory memory;
  const auto sums = memory.take<std::uint64_t>(kWarps);
  unsigned char* scratch = all_scratch + static_cast<index_t>(blockIdx.x) * plan.bytes;
  std::uint8_t* pixels = scratch + plan.pixels;
  const index_t count = a.height * a.width;
  for (index_t item = blockIdx.x; item < a.crops; item += gridDim.x) {
    const AugmentCrop& crop = a.crop[item];
    resize(a, crop, scratch, plan, pixels);
    recolour(crop, pixels, count, sums);
    if (crop.blur.full != 0) blur(pixels, scratch + plan.other, a.height, a.width, crop.blur);
    __syncthreads();
    // The flip commutes with every step but the resize's window, so it is left to the writing.
    for (index_t at = threadIdx.x; at < count; at += kThreads) {
      const index_t y = at / a.width, x = at - y * a.width;
      const std::uint8_t* from = pixels + (y * a.width + (crop.flip ? a.width - 1 - x : x)) * 3;
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        const std::uint8_t value = augment_math::solarised(from[c], crop.solarize);
        if (a.pixels) a.pixels[(item * count + at) * 3 + c] = value;
        if (a.output.data) {
          store_float(static_cast<Out*>(a.output.data) + item * a.output.item_stride +
                          c * a.output.row_stride + at,
                      resample_math::normalised(value, a.mean[c], a.deviation[c]));
        }
      }
    }
    __syncthreads();  // the next crop overwrites what this one read
  }
}

index_t blocks_of(const Augment& args) {
  return args.crops < kMostBlocks ? args.crops : kMostBlocks;
}

}  // namespace

index_t augment_scratch(const Queue&, const Augment& args) {
  if (args.crops == 0 || args.height == 0 || args.width == 0) return 0;
  return Plan(args).bytes * blocks_of(args);
}

void augment(Queue& queue, const Augment& args) {
  if (args.crops == 0 || args.height == 0 || args.width == 0) return;
  const LaunchShape shape{dim3(grid_extent("augment", blocks_of(args))), kThreads,
                          shared_bytes<std::uint64_t>(kWarps)};
  with_dtype(args.output.dtype, [&]<class Out>() {
    launch<augment_kernel<Out>>("augment", queue, shape, args,
                                static_cast<unsigned char*>(queue.scratch), Plan(args));
  });
}

}  // namespace vitsnna::kernels::cuda
