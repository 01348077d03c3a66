// Draws the factors of residual branches.
#include "train/dino/drop_path.h"

#include <fmt/format.h>

#include "kernels/error.h"
#include "kernels/random.h"

namespace vitsnna::train {

void check(const DropPath& drop_path) {
  if (drop_path.rate >= 0. && drop_path.rate < 1.) return;
  throw Error(
      fmt::format("--drop-path: {} given, at least 0 and less than 1 wanted", drop_path.rate));
}

std::vector<float> branch_factors(const DropPath& drop_path, index_t step, index_t depth,
                                  index_t crops, std::span<const index_t> images) {
  const auto count = static_cast<index_t>(images.size());
  const index_t branches = 2 * depth, items = crops * count;
  std::vector<float> factors(static_cast<std::size_t>(branches * items), 1.f);
  for (index_t item = 0; item < items; ++item) {
    const index_t crop = item / count, image = images[static_cast<std::size_t>(item % count)];
    for (index_t first = 0; first < branches; first += 4) {
      const auto words = kernels::philox4x32_10(
          {static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(crop << 16 | first / 4),
           static_cast<std::uint32_t>(image),
           static_cast<std::uint32_t>(kernels::RandomStream::drop_path)},
          {static_cast<std::uint32_t>(drop_path.seed),
           static_cast<std::uint32_t>(drop_path.seed >> 32)});
      for (index_t branch = first; branch < first + 4 && branch < branches; ++branch) {
        const double p = drop_path.rate_of(branch / 2, depth);
        const double u = words[static_cast<std::size_t>(branch - first)] * 0x1p-32;
        factors[static_cast<std::size_t>(branch * items + item)] =
            u < p ? 0.f : static_cast<float>(1. / (1. - p));
      }
    }
  }
  return factors;
}

}  // namespace vitsnna::train
