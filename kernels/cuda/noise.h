// Gaussian noise inside a kernel: the bits of kernels/random_math.h.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/exact_math.h"
#include "kernels/random.h"
#include "kernels/random_math.h"

namespace vitsnna::kernels::cuda {

/// sigma, or what the noise level makes of the extremes that lie on the device.
__device__ __forceinline__ float deviation_of(const GaussianNoise& noise) {
  if (!noise.extremes) return noise.sigma;
  return random_math::deviation_of_range(noise.level, noise.extremes[0], noise.extremes[1]);
}

__device__ __forceinline__ random_math::Words noise_words(const GaussianNoise& noise,
                                                          unsigned sample, index_t element) {
  return random_math::philox({{static_cast<std::uint32_t>(element / 4), sample, noise.image_id,
                               static_cast<std::uint32_t>(noise.stream)}},
                             static_cast<std::uint32_t>(noise.seed),
                             static_cast<std::uint32_t>(noise.seed >> 32));
}

/// sigma z of elements element .. element + width - 1 of a sample: one, or the four of a block
/// (element is then a multiple of 4). Products are rounded before the caller adds them.
template <int width>
__device__ __forceinline__ void draw(const GaussianNoise& noise, float sigma, unsigned sample,
                                     index_t element, float (&values)[width]) {
  const random_math::Words words = noise_words(noise, sample, element);
  if constexpr (width == 4) {
    const random_math::NormalPair low = random_math::normal_pair(words.word[0], words.word[1]);
    const random_math::NormalPair high = random_math::normal_pair(words.word[2], words.word[3]);
    values[0] = product(low.first, sigma);
    values[1] = product(low.second, sigma);
    values[2] = product(high.first, sigma);
    values[3] = product(high.second, sigma);
  } else {
    static_assert(width == 1);
    const bool upper = element % 4 >= 2;
    const random_math::NormalPair pair = random_math::normal_pair(
        upper ? words.word[2] : words.word[0], upper ? words.word[3] : words.word[1]);
    values[0] = product(element % 2 != 0 ? pair.second : pair.first, sigma);
  }
}

}  // namespace vitsnna::kernels::cuda
