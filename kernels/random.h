// Counter-based Gaussian noise: every device draws the same bits. SPEC section 9.
//
// Philox4x32-10, key = seed, counter = (element / 4, sample, image id, stream). The four words of
// a block give four normals by Box-Muller on word pairs (0, 1) and (2, 3):
//   u = ((word_a >> 8) + 1) 2^-24 in (0, 1],  v = (word_b >> 8) 2^-24 in [0, 1)
//   z_a = sqrt(-2 ln u) cos(2 pi v),          z_b = sqrt(-2 ln u) sin(2 pi v)
// with the logarithm and the sine below: polynomials in explicit fused multiply-adds, each step an
// IEEE operation, so no library and no compiler flag changes a bit.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

/// Which of a seed's independent uses a draw belongs to.
enum class RandomStream : std::uint32_t {
  explanation_noise = 0,
  initialisation = 1,
  augmentation = 2,
  shuffle = 3,
  drop_path = 4
};

/// Noise e ~ N(0, sigma^2) of a batch of samples; sigma 0 is none. With `extremes` the deviation is
/// found on the device instead, from what MinMax (reduce.h) left there, so that the same launch
/// serves another image: sigma = fp32(level (maximum - minimum)), worked out in double.
struct GaussianNoise {
  float sigma = 0.f;                ///< not read with `extremes`
  double level = 0.;                ///< with `extremes`; 0 is no noise
  const float* extremes = nullptr;  ///< device memory {minimum, maximum}, or null
  std::uint64_t seed = 0;
  std::uint32_t first_sample = 0;
  std::uint32_t image_id = 0;
  RandomStream stream = RandomStream::explanation_noise;
};

/// Whether there is noise to draw, as far as can be told without reading `extremes`.
VITSNNA_HOST_DEVICE bool draws(const GaussianNoise& noise) {
  return noise.extremes ? noise.level > 0. : noise.sigma > 0.f;
}

/// One Philox4x32-10 block (Salmon et al. 2011).
std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key);

/// Standard normals of elements 4 * block .. 4 * block + 3 of one sample.
std::array<float, 4> gaussian_block(const GaussianNoise& noise, std::uint32_t sample,
                                    std::uint32_t block);

/// output[s, e] = sigma * z(first_sample + s, e), s < samples, e < elements.
struct FillGaussian {
  GaussianNoise noise;
  index_t samples = 1;
  index_t elements = 0;  ///< of one sample, at most 2^34
  float* output = nullptr;
};
inline const char* op_name(const FillGaussian&) { return "fill_gaussian"; }
inline double flops(const FillGaussian& a) {
  return 60. * static_cast<double>(a.samples * a.elements);
}
inline double bytes(const FillGaussian& a) {
  return 4. * static_cast<double>(a.samples * a.elements);
}

}  // namespace vitsnna::kernels
