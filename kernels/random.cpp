// The reference form of a draw: one Philox block, four normals, on the host.
#include "kernels/random.h"

#include "kernels/random_math.h"

namespace vitsnna::kernels {

std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) {
  const random_math::Words block =
      random_math::philox({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]);
  return {block.word[0], block.word[1], block.word[2], block.word[3]};
}

std::array<float, 4> gaussian_block(const GaussianNoise& noise, std::uint32_t sample,
                                    std::uint32_t block) {
  const auto words = philox4x32_10(
      {block, sample, noise.image_id, static_cast<std::uint32_t>(noise.stream)},
      {static_cast<std::uint32_t>(noise.seed), static_cast<std::uint32_t>(noise.seed >> 32)});
  const random_math::NormalPair low = random_math::normal_pair(words[0], words[1]);
  const random_math::NormalPair high = random_math::normal_pair(words[2], words[3]);
  return {low.first, low.second, high.first, high.second};
}

}  // namespace vitsnna::kernels
