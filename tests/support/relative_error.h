// || found - wanted ||_2 / || wanted ||_2, the measure of every golden comparison.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace vitsnna::test {

inline double relative_error(std::span<const float> found, std::span<const float> wanted) {
  if (found.size() != wanted.size()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double delta = static_cast<double>(found[i]) - static_cast<double>(wanted[i]);
    if (std::isnan(delta)) return std::numeric_limits<double>::infinity();
    difference += delta * delta;
    norm += static_cast<double>(wanted[i]) * static_cast<double>(wanted[i]);
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

}  // namespace vitsnna::test
