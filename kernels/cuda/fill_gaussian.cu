// Gaussian noise written out: the form in which initialisation and tests want it.
#include "kernels/cuda/noise.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_walk.h"

namespace vitsnna::kernels::cuda {
namespace {

/// Rows of the walk are samples, its columns their elements, four to a thread: one Philox block.
template <bool vector>
__global__ void __launch_bounds__(256)
    fill_gaussian_kernel(GaussianNoise noise, float* output, RowWalk walk) {
  const Place at = place_of_thread(walk, 4);
  if (at.column >= walk.columns) return;
  float values[4];
  const auto sample = noise.first_sample + static_cast<std::uint32_t>(at.row);
  draw(noise, deviation_of(noise), sample, at.column, values);
  float* to = output + at.row * walk.columns + at.column;
  if constexpr (vector) {
    store_floats(to, values);
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (at.column + k < walk.columns) to[k] = values[k];
    }
  }
}

}  // namespace

void fill_gaussian(Queue& queue, const FillGaussian& args) {
  RowWalk walk;
  const LaunchShape shape = shape_of("fill_gaussian", {1, args.samples, args.elements}, 4, walk);
  if (args.elements % 4 == 0 && aligned_for(4, 4, args.output)) {
    launch<fill_gaussian_kernel<true>>("fill_gaussian", queue, shape, args.noise, args.output,
                                       walk);
  } else {
    launch<fill_gaussian_kernel<false>>("fill_gaussian", queue, shape, args.noise, args.output,
                                        walk);
  }
}

}  // namespace vitsnna::kernels::cuda
