// Bicubic resizing in Pillow's arithmetic, a crop of the result, and its normalisation.
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/resample_math.h"

namespace vitsnna::kernels::cuda {
namespace {

using resample_math::Axis;
using resample_math::half;
using resample_math::to_pixel;

/// Coefficients of one axis of the window: pixel `at` has `taps` places for those of source pixels
/// first[at] .. first[at] + count[at].
struct AxisTable {
  Axis axis;
  index_t taps = 0;
  index_t* first = nullptr;
  std::int32_t* count = nullptr;
  std::int32_t* fixed = nullptr;
};

__global__ void __launch_bounds__(64) coefficients_kernel(AxisTable table) {
  const index_t at = static_cast<index_t>(blockIdx.x) * 64 + threadIdx.x;
  if (at >= table.axis.crop) return;
  const index_t pixel = table.axis.crop_first + at;
  table.first[at] = table.axis.first(pixel);
  table.count[at] = static_cast<std::int32_t>(table.axis.end(pixel) - table.axis.first(pixel));
  resample_math::coefficients(table.axis, pixel, table.fixed + at * table.taps);
}

/// The three channels of a pixel: sums of `count` source pixels, `step` bytes apart.
struct Pixel {
  std::uint8_t channel[3];
};
__device__ __forceinline__ Pixel filtered(const std::uint8_t* from, index_t step,
                                          const std::int32_t* fixed, std::int32_t count) {
  std::int32_t red = half, green = half, blue = half;
  for (std::int32_t k = 0; k < count; ++k, from += step) {
    const std::int32_t weight = fixed[k];
    red += from[0] * weight;
    green += from[1] * weight;
    blue += from[2] * weight;
  }
  return {{to_pixel(red), to_pixel(green), to_pixel(blue)}};
}

/// Rows of the walk are the source rows that the window needs, its columns the window's.
__global__ void __launch_bounds__(256)
    resample_columns_kernel(const std::uint8_t* source, AxisTable table, index_t first_row,
                            std::uint8_t* intermediate, RowWalk walk) {
  const Place at = place_of_thread(walk, 1);
  if (at.column >= walk.columns) return;
  const std::uint8_t* from =
      source + ((first_row + at.row) * table.axis.source + table.first[at.column]) * 3;
  const Pixel pixel =
      filtered(from, 3, table.fixed + at.column * table.taps, table.count[at.column]);
  std::uint8_t* to = intermediate + (at.row * walk.columns + at.column) * 3;
#pragma unroll
  for (int c = 0; c < 3; ++c) to[c] = pixel.channel[c];
}

/// Rows and columns of the walk are the window's.
__global__ void __launch_bounds__(256)
    resample_rows_kernel(ResampleNormalize a, const std::uint8_t* intermediate, AxisTable table,
                         index_t first_row, RowWalk walk) {
  const Place at = place_of_thread(walk, 1);
  if (at.column >= walk.columns) return;
  const std::uint8_t* from =
      intermediate + ((table.first[at.row] - first_row) * walk.columns + at.column) * 3;
  const Pixel pixel =
      filtered(from, walk.columns * 3, table.fixed + at.row * table.taps, table.count[at.row]);
  const index_t place = at.row * walk.columns + at.column;
  const index_t plane = a.crop_height * a.crop_width;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    if (a.resized) a.resized[place * 3 + c] = pixel.channel[c];
    if (a.output) {
      a.output[c * plane + place] =
          resample_math::normalised(pixel.channel[c], a.mean[c], a.deviation[c]);
    }
  }
}

/// Where the tables and the rows between the passes lie in the scratch.
struct Plan {
  AxisTable vertical, horizontal;
  std::uint8_t* intermediate = nullptr;
  index_t bytes = 0;

  Plan(const ResampleNormalize& a, void* scratch) {
    vertical = table({a.source_height, a.resized_height, a.crop_top, a.crop_height}, scratch);
    horizontal = table({a.source_width, a.resized_width, a.crop_left, a.crop_width}, scratch);
    intermediate = take<std::uint8_t>(
        scratch, (vertical.axis.needed_end() - vertical.axis.needed_first()) * a.crop_width * 3);
  }

 private:
  template <class T>
  T* take(void* scratch, index_t count) {
    const index_t offset = bytes;
    bytes += ceil_div(count * static_cast<index_t>(sizeof(T)), 64) * 64;
    return scratch ? reinterpret_cast<T*>(static_cast<unsigned char*>(scratch) + offset) : nullptr;
  }
  AxisTable table(const Axis& axis, void* scratch) {
    AxisTable result;
    result.axis = axis;
    result.taps = axis.most_taps();
    result.first = take<index_t>(scratch, axis.crop);
    result.count = take<std::int32_t>(scratch, axis.crop);
    result.fixed = take<std::int32_t>(scratch, axis.crop * result.taps);
    return result;
  }
};

}  // namespace

index_t resample_normalize_scratch(const Queue&, const ResampleNormalize& args) {
  if (args.crop_height == 0 || args.crop_width == 0) return 0;
  return Plan(args, nullptr).bytes;
}

void resample_normalize(Queue& queue, const ResampleNormalize& args) {
  if (args.crop_height == 0 || args.crop_width == 0) return;
  constexpr const char* name = "resample_normalize";
  const Plan plan(args, queue.scratch);
  for (const AxisTable& table : {plan.horizontal, plan.vertical}) {
    const LaunchShape shape{dim3(grid_extent(name, table.axis.crop, 64)), 64, 0};
    launch<coefficients_kernel>(name, queue, shape, table);
  }
  const index_t first_row = plan.vertical.axis.needed_first();
  const index_t rows = plan.vertical.axis.needed_end() - first_row;
  RowWalk walk;
  const LaunchShape columns = shape_of(name, {1, rows, args.crop_width}, 1, walk);
  launch<resample_columns_kernel>(name, queue, columns, args.source, plan.horizontal, first_row,
                                  plan.intermediate, walk);
  const LaunchShape window = shape_of(name, {1, args.crop_height, args.crop_width}, 1, walk);
  launch<resample_rows_kernel>(name, queue, window, args,
                               static_cast<const std::uint8_t*>(plan.intermediate), plan.vertical,
                               first_row, walk);
}

}  // namespace vitsnna::kernels::cuda
