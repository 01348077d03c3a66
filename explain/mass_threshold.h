// Which tokens hold the given share of an attention map's mass (Figure 9, `--mass-threshold`).
#pragma once

#include <span>
#include <vector>

namespace vitsnna::explain {

/// `map` with every token at 0 but the smallest set whose values sum to at least
/// threshold * sum(map): the largest first, ties by index. Values are >= 0, 0 < threshold <= 1;
/// otherwise Error.
std::vector<float> keep_mass(std::span<const float> map, double threshold);

}  // namespace vitsnna::explain
