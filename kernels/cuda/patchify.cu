// Images to rows of patch pixels - interpolated, noisy, masked on the way - and the gradient's way
// back.
#include "kernels/cuda/dtypes.h"
#include "kernels/cuda/noise.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"
#include "kernels/cuda/rows.h"

namespace vitsnna::kernels::cuda {
namespace {

/// Where pixel (y, x) of a channel goes: its patch and its column in the patch's row.
struct PatchPlace {
  index_t patch, column;
};
__device__ __forceinline__ PatchPlace patch_place(unsigned patch_size, unsigned grid_width,
                                                  unsigned channel, unsigned y, unsigned x) {
  const unsigned patch_row = y / patch_size, patch_column = x / patch_size;
  const unsigned inside_y = y - patch_row * patch_size, inside_x = x - patch_column * patch_size;
  return {static_cast<index_t>(patch_row) * grid_width + patch_column,
          (static_cast<index_t>(channel) * patch_size + inside_y) * patch_size + inside_x};
}

/// Rows of the walk are image rows within the grid, its columns pixels, `width` (1, or 4 of one
/// patch and one Philox block) to a thread; blocks in y are channels, in z items.
template <int width, class Out>
__global__ void __launch_bounds__(256)
    patchify_kernel(Patchify a, Rows<Out> patches, RowWalk walk) {
  const Place at = place_of_thread(walk, width);
  if (at.column >= walk.columns) return;
  const auto y = static_cast<unsigned>(at.row), x = static_cast<unsigned>(at.column);
  const bool noisy = draws(a.gaussian);
  const float sigma = noisy ? deviation_of(a.gaussian) : 0.f;
  const index_t cells = a.grid_height * a.grid_width;
  const index_t pixels = a.channels * a.height * a.width;
  for (unsigned channel = blockIdx.y; channel < a.channels; channel += gridDim.y) {
    const index_t pixel = (channel * a.height + y) * a.width + x;
    const PatchPlace place = patch_place(static_cast<unsigned>(a.patch_size),
                                         static_cast<unsigned>(a.grid_width), channel, y, x);
    for (index_t item = blockIdx.z; item < a.items; item += gridDim.z) {
      float values[width];
      if (a.patch_keep && a.patch_keep[item * cells + place.patch] == 0) {
#pragma unroll
        for (int k = 0; k < width; ++k) values[k] = a.fill[channel];
        store_floats(patches.row(item, place.patch) + place.column, values);
        continue;
      }
      load_floats(a.image + item * a.image_stride + pixel, values);
      if (a.alpha) {
        float baseline[width] = {};
        if (a.baseline) load_floats(a.baseline + pixel, baseline);
#pragma unroll
        for (int k = 0; k < width; ++k) {
          values[k] = baseline[k] + product(a.alpha[item], values[k] - baseline[k]);
        }
      }
      if (a.noise) {
        float noise[width];
        load_floats(a.noise + item * pixels + pixel, noise);
#pragma unroll
        for (int k = 0; k < width; ++k) values[k] += noise[k];
      }
      if (noisy) {
        float noise[width];
        draw(a.gaussian, sigma, a.gaussian.first_sample + static_cast<std::uint32_t>(item), pixel,
             noise);
#pragma unroll
        for (int k = 0; k < width; ++k) values[k] += noise[k];
      }
      store_floats(patches.row(item, place.patch) + place.column, values);
    }
  }
}

/// Rows of the walk are all image rows; blocks in y are channels, in z gradients. A thread adds its
/// pixels' items in order.
template <int width>
__global__ void __launch_bounds__(256)
    unpatchify_gradient_kernel(UnpatchifyGradient a, Rows<const float> patches, RowWalk walk) {
  const Place at = place_of_thread(walk, width);
  if (at.column >= walk.columns) return;
  const auto y = static_cast<unsigned>(at.row), x = static_cast<unsigned>(at.column);
  const bool covered = y < a.grid_height * a.patch_size && x < a.grid_width * a.patch_size;
  const index_t pixels = a.channels * a.height * a.width;
  const index_t gradients = a.sum_items ? 1 : a.items;
  for (unsigned channel = blockIdx.y; channel < a.channels; channel += gridDim.y) {
    const PatchPlace place = patch_place(static_cast<unsigned>(a.patch_size),
                                         static_cast<unsigned>(a.grid_width), channel, y, x);
    for (index_t gradient = blockIdx.z; gradient < gradients; gradient += gridDim.z) {
      float* to = a.image_gradient + gradient * pixels + (channel * a.height + y) * a.width + x;
      float values[width] = {};
      if (a.sum_items) {
        if (!covered) continue;
        load_floats(to, values);
      }
      const index_t first = a.sum_items ? 0 : gradient;
      const index_t end = !covered ? first : a.sum_items ? a.items : gradient + 1;
      for (index_t item = first; item < end; ++item) {
        float slope[width];
        load_floats(patches.row(item, place.patch) + place.column, slope);
#pragma unroll
        for (int k = 0; k < width; ++k) {
          const float weighted = product(a.weight, slope[k]);
          values[k] = a.sum_items ? values[k] + weighted : weighted;
        }
      }
      store_floats(to, values);
    }
  }
}

/// Blocks in y and z: as many as there are, up to what a grid may have; kernels stride over more.
unsigned blocks_of(index_t count) {
  constexpr index_t most = 65535;
  return static_cast<unsigned>(count < most ? count : most);
}

}  // namespace

void patchify(Queue& queue, const Patchify& args) {
  const Extents extents{1, args.grid_height * args.patch_size, args.grid_width * args.patch_size};
  const bool four_pixels = args.patch_size % 4 == 0 && args.width % 4 == 0 &&
                           aligned_for(4, 4, args.image, args.image_stride) &&
                           aligned_for(4, 4, args.baseline) && aligned_for(4, 4, args.noise) &&
                           aligned_for(4, args.patches);
  with_dtype(args.patches.dtype, [&]<class Out>() {
    const auto start = [&]<int width>() {
      RowWalk walk;
      LaunchShape shape = shape_of("patchify", extents, width, walk);
      shape.blocks.y = blocks_of(args.channels);
      shape.blocks.z = blocks_of(args.items);
      launch<patchify_kernel<width, Out>>("patchify", queue, shape, args, Rows<Out>(args.patches),
                                          walk);
    };
    if (four_pixels) {
      start.template operator()<4>();
    } else {
      start.template operator()<1>();
    }
  });
}

void unpatchify_gradient(Queue& queue, const UnpatchifyGradient& args) {
  const Extents extents{1, args.height, args.width};
  const bool four_pixels = args.patch_size % 4 == 0 && args.width % 4 == 0 &&
                           aligned_for(4, 4, args.image_gradient) &&
                           aligned_for(4, args.patches_gradient);
  const auto start = [&]<int width>() {
    RowWalk walk;
    LaunchShape shape = shape_of("unpatchify_gradient", extents, width, walk);
    shape.blocks.y = blocks_of(args.channels);
    shape.blocks.z = blocks_of(args.sum_items ? 1 : args.items);
    launch<unpatchify_gradient_kernel<width>>("unpatchify_gradient", queue, shape, args,
                                              Rows<const float>(args.patches_gradient), walk);
  };
  if (four_pixels) {
    start.template operator()<4>();
  } else {
    start.template operator()<1>();
  }
}

}  // namespace vitsnna::kernels::cuda
