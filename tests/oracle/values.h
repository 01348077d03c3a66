// What every oracle is made of: dense arrays of doubles, and the rounding that tells the oracle
// (T = double, nothing rounded) from the naive computation in the backend's own precision
// (T = float, values rounded to bf16 where a backend stores them so).
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/types.h"

namespace vitsnna::oracle {

using kernels::DType;
using kernels::index_t;
using Values = std::vector<double>;

/// The value as a store of `dtype` leaves it; the oracle's own doubles are never rounded.
template <class T>
T stored(T value, DType dtype) {
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::bf16) return kernels::to_float(kernels::to_bf16(value));
  }
  return value;
}

/// `values` as an operand of `dtype` holds them.
inline Values rounded(Values values, DType dtype) {
  for (double& v : values) v = static_cast<double>(stored(static_cast<float>(v), dtype));
  return values;
}

inline Values zeros(index_t count) { return Values(static_cast<std::size_t>(count), 0.); }

/// values[index], as T, with the index 64 bits and signed as everywhere else.
template <class T = double>
T at(const Values& values, index_t index) {
  return static_cast<T>(values[static_cast<std::size_t>(index)]);
}
template <class T>
void put(Values& values, index_t index, T value) {
  values[static_cast<std::size_t>(index)] = static_cast<double>(value);
}

}  // namespace vitsnna::oracle
