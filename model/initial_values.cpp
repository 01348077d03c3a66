// Philox words, one block for four values.
#include "model/initial_values.h"

#include <algorithm>

#include "kernels/random.h"

namespace vitsnna::model {

void fill_normal(std::span<float> values, float deviation, std::uint64_t seed,
                 std::uint32_t position) {
  kernels::GaussianNoise noise;
  noise.sigma = deviation;
  noise.seed = seed;
  noise.image_id = position;
  noise.stream = kernels::RandomStream::initialisation;
  for (std::size_t first = 0; first < values.size(); first += 4) {
    const auto normals = kernels::gaussian_block(noise, 0, static_cast<std::uint32_t>(first / 4));
    for (std::size_t lane = 0; lane < std::min<std::size_t>(4, values.size() - first); ++lane) {
      values[first + lane] = deviation * normals[lane];
    }
  }
}

void fill_uniform(std::span<float> values, float bound, std::uint64_t seed,
                  std::uint32_t position) {
  for (std::size_t element = 0; element < values.size(); ++element) {
    const auto words = kernels::philox4x32_10(
        {static_cast<std::uint32_t>(element / 4), 0, position,
         static_cast<std::uint32_t>(kernels::RandomStream::initialisation)},
        {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    const float unit = static_cast<float>(words[element % 4] >> 8) * 0x1p-24f;
    values[element] = bound * (2.f * unit - 1.f);
  }
}

}  // namespace vitsnna::model
