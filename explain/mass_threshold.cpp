// The smallest set of tokens that holds a share of the mass: the largest values, until they
// suffice.
#include "explain/mass_threshold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "kernels/error.h"

namespace vitsnna::explain {

std::vector<float> keep_mass(std::span<const float> map, double threshold) {
  if (!(threshold > 0 && threshold <= 1)) {
    throw Error(fmt::format("mass threshold: {} given, above 0 and at most 1 wanted", threshold));
  }
  for (const float value : map) {
    if (!(value >= 0) || std::isinf(value)) {
      throw Error(fmt::format("mass threshold: a map with the value {}, attention wanted", value));
    }
  }
  std::vector<std::size_t> order(map.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return map[a] > map[b]; });
  // The total is summed in the order of the running sum below, so that threshold 1 is met by all.
  double total = 0;
  for (const std::size_t token : order) total += static_cast<double>(map[token]);

  std::vector<float> kept(map.size(), 0.f);
  double held = 0;
  for (const std::size_t token : order) {
    if (held >= threshold * total) break;
    kept[token] = map[token];
    held += static_cast<double>(map[token]);
  }
  return kept;
}

}  // namespace vitsnna::explain
