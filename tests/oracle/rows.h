// Oracles of the ops on rows: layer norm, GELU, copies. Dense (items, rows, columns) operands.
#pragma once

#include "kernels/layer_norm.h"
#include "tests/oracle/values.h"

namespace vitsnna::oracle {

/// gelu(t) = t (1 + erf(t / sqrt 2)) / 2
template <class T>
T gelu(T t) {
  return t * (T(1) + std::erf(t / std::sqrt(T(2)))) / T(2);
}

/// gelu'(t) = (1 + erf(t / sqrt 2)) / 2 + t exp(-t^2 / 2) / sqrt(2 pi)
template <class T>
T gelu_derivative(T t) {
  const T pi = T(3.14159265358979323846);
  return (T(1) + std::erf(t / std::sqrt(T(2)))) / T(2) +
         t * std::exp(-t * t / T(2)) / std::sqrt(T(2) * pi);
}

template <class T>
Values gelu(const Values& input, DType output) {
  Values result;
  for (const double t : input) result.push_back(stored(gelu(static_cast<T>(t)), output));
  return result;
}

template <class T>
struct RowStatistics {
  T mean, deviation;
};

template <class T>
RowStatistics<T> row_statistics(const Values& x, index_t row, index_t columns, T epsilon) {
  T mean = 0, variance = 0;
  for (index_t c = 0; c < columns; ++c) mean += at<T>(x, row * columns + c);
  mean /= static_cast<T>(columns);
  for (index_t c = 0; c < columns; ++c) {
    const T centred = at<T>(x, row * columns + c) - mean;
    variance += centred * centred;
  }
  return {mean, std::sqrt(variance / static_cast<T>(columns) + epsilon)};
}

template <class T>
Values layer_norm(const kernels::LayerNorm& a, const Values& x, const Values& gain,
                  const Values& shift) {
  Values y = zeros(a.items * a.rows * a.columns);
  for (index_t r = 0; r < a.items * a.rows; ++r) {
    const auto row = row_statistics<T>(x, r, a.columns, static_cast<T>(a.epsilon));
    for (index_t c = 0; c < a.columns; ++c) {
      const T value = (at<T>(x, r * a.columns + c) - row.mean) / row.deviation * at<T>(gain, c) +
                      at<T>(shift, c);
      put(y, r * a.columns + c, stored(value, a.output.dtype));
    }
  }
  return y;
}

struct LayerNormGradients {
  Values input, gain, shift;  ///< what the op adds
};

/// x^ = (x - mean) / deviation, t = gain dy; dx = (t - mean(t) - x^ mean(t x^)) / deviation;
/// dgain = sum dy x^; dshift = sum dy.
template <class T>
LayerNormGradients layer_norm_backward(const kernels::LayerNormBackward& a, const Values& x,
                                       const Values& gain, const Values& dy) {
  LayerNormGradients d{zeros(a.items * a.rows * a.columns), zeros(a.columns), zeros(a.columns)};
  const auto width = static_cast<T>(a.columns);
  for (index_t r = 0; r < a.items * a.rows; ++r) {
    const index_t input_row = r / a.rows % a.input_items * a.rows + r % a.rows;
    const auto row = row_statistics<T>(x, input_row, a.columns, static_cast<T>(a.epsilon));
    const auto normalised = [&](index_t c) {
      return (at<T>(x, input_row * a.columns + c) - row.mean) / row.deviation;
    };
    T mean_t = 0, mean_tx = 0;
    for (index_t c = 0; c < a.columns; ++c) {
      const T t = at<T>(gain, c) * at<T>(dy, r * a.columns + c);
      mean_t += t / width;
      mean_tx += t * normalised(c) / width;
    }
    for (index_t c = 0; c < a.columns; ++c) {
      const T slope = at<T>(dy, r * a.columns + c);
      const T t = at<T>(gain, c) * slope;
      put(d.input, r * a.columns + c, (t - mean_t - normalised(c) * mean_tx) / row.deviation);
      put(d.gain, c, at<T>(d.gain, c) + slope * normalised(c));
      put(d.shift, c, at<T>(d.shift, c) + slope);
    }
  }
  return d;
}

}  // namespace vitsnna::oracle
