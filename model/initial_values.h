// Weights before training, a function of a seed and of where a tensor stands among the others: the
// same bits on every device.
#pragma once

#include <cstdint>
#include <span>

namespace vitsnna::model {

/// Normal with mean 0.
void fill_normal(std::span<float> values, float deviation, std::uint64_t seed,
                 std::uint32_t position);

/// Uniform in [-bound, bound).
void fill_uniform(std::span<float> values, float bound, std::uint64_t seed, std::uint32_t position);

}  // namespace vitsnna::model
