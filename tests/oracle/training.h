// Oracles of the training ops. Dense operands, formulas of kernels/{loss,normalize,optimizer}.h.
#pragma once

#include "kernels/loss.h"
#include "kernels/normalize.h"
#include "kernels/optimizer.h"
#include "tests/oracle/values.h"

namespace vitsnna::oracle {

/// log softmax of (row - shift) / temperature.
template <class T>
std::vector<T> log_softmax(const Values& logits, index_t row, index_t columns, const Values& shift,
                           T temperature) {
  std::vector<T> result;
  for (index_t c = 0; c < columns; ++c) {
    const T centred = at<T>(logits, row * columns + c) - (shift.empty() ? T(0) : at<T>(shift, c));
    result.push_back(centred / temperature);
  }
  T maximum = result[0], sum = 0;
  for (const T value : result) maximum = std::max(maximum, value);
  for (const T value : result) sum += std::exp(value - maximum);
  for (T& value : result) value -= maximum + std::log(sum);
  return result;
}

struct DinoResult {
  Values gradient, teacher_sum, monitors;
};

template <class T>
DinoResult dino_loss(const kernels::DinoLoss& a, const Values& student, const Values& teacher,
                     const Values& centre, double teacher_temperature) {
  DinoResult result{zeros(a.student_crops * a.items * a.out_dim), zeros(a.out_dim), zeros(2)};
  const index_t pairs = 2 * (a.student_crops - 1);
  T loss = 0, entropy = 0;
  std::vector<T> column_sums(static_cast<std::size_t>(a.out_dim), T(0));
  for (index_t b = 0; b < a.items; ++b) {
    for (index_t v = 0; v < a.student_crops; ++v) {
      const auto log_p = log_softmax<T>(student, v * a.items + b, a.out_dim, {},
                                        static_cast<T>(a.student_temperature));
      for (index_t c = 0; c < a.out_dim; ++c) {
        T gradient = 0;
        for (index_t i = 0; i < 2; ++i) {
          if (i == v) continue;
          const auto log_q = log_softmax<T>(teacher, i * a.items + b, a.out_dim, centre,
                                            static_cast<T>(teacher_temperature));
          const auto k = static_cast<std::size_t>(c);
          const T q = std::exp(log_q[k]);
          loss -= q * log_p[k];
          gradient += std::exp(log_p[k]) - q;
        }
        const T weight =
            T(1) / (static_cast<T>(pairs * a.global_items) * static_cast<T>(a.student_temperature));
        put(result.gradient, (v * a.items + b) * a.out_dim + c,
            stored(gradient * weight, a.student_gradient.dtype));
      }
    }
    for (index_t i = 0; i < 2; ++i) {
      const auto log_q = log_softmax<T>(teacher, i * a.items + b, a.out_dim, centre,
                                        static_cast<T>(teacher_temperature));
      for (index_t c = 0; c < a.out_dim; ++c) {
        const auto k = static_cast<std::size_t>(c);
        entropy -= std::exp(log_q[k]) * log_q[k];
        column_sums[k] += at<T>(teacher, (i * a.items + b) * a.out_dim + c);
      }
    }
  }
  for (index_t c = 0; c < a.out_dim; ++c) {
    put(result.teacher_sum, c, column_sums[static_cast<std::size_t>(c)]);
  }
  put(result.monitors, 0, loss / static_cast<T>(pairs * a.global_items));
  put(result.monitors, 1, entropy / static_cast<T>(2 * a.global_items));
  return result;
}

struct BceResult {
  Values gradient;
  double loss = 0;
};

template <class T>
BceResult bce_with_logits(const kernels::BceWithLogits& a, const Values& logits,
                          const Values& targets, const Values& positive_weights) {
  BceResult result{zeros(a.items * a.classes), 0};
  const auto count = static_cast<T>(a.global_items * a.classes);
  T loss = 0;
  for (index_t k = 0; k < a.items * a.classes; ++k) {
    const T x = at<T>(logits, k), y = at<T>(targets, k);
    const T w = positive_weights.empty() ? T(1) : at<T>(positive_weights, k % a.classes);
    const T larger = std::max(x, T(0)), tail = std::log1p(std::exp(-std::abs(x)));
    loss += w * y * (larger - x + tail) + (T(1) - y) * (larger + tail);
    const T p = T(1) / (T(1) + std::exp(-x)), not_p = T(1) / (T(1) + std::exp(x));
    put(result.gradient, k, ((T(1) - y) * p - w * y * not_p) / count);
  }
  result.loss = static_cast<double>(loss / count);
  return result;
}

template <class T>
T row_norm(const Values& x, index_t row, index_t columns) {
  T sum = 0;
  for (index_t c = 0; c < columns; ++c)
    sum += at<T>(x, row * columns + c) * at<T>(x, row * columns + c);
  return std::sqrt(sum);
}

template <class T>
Values normalize_rows(const kernels::NormalizeRows& a, const Values& x, const Values& length) {
  Values y = zeros(a.rows * a.columns);
  for (index_t r = 0; r < a.rows; ++r) {
    const T divisor = std::max(row_norm<T>(x, r, a.columns), static_cast<T>(a.epsilon));
    const T scale = length.empty() ? T(1) : at<T>(length, r);
    for (index_t c = 0; c < a.columns; ++c) {
      put(y, r * a.columns + c,
          stored(scale * at<T>(x, r * a.columns + c) / divisor, a.output.dtype));
    }
  }
  return y;
}

struct NormalizeGradients {
  Values input, length;
};

template <class T>
NormalizeGradients normalize_rows_backward(const kernels::NormalizeRowsBackward& a, const Values& x,
                                           const Values& length, const Values& dy) {
  NormalizeGradients result{zeros(a.rows * a.columns), zeros(a.rows)};
  for (index_t r = 0; r < a.rows; ++r) {
    const T norm = row_norm<T>(x, r, a.columns);
    const T divisor = std::max(norm, static_cast<T>(a.epsilon));
    const T scale = length.empty() ? T(1) : at<T>(length, r);
    T along = 0;
    for (index_t c = 0; c < a.columns; ++c) {
      along += at<T>(x, r * a.columns + c) / divisor * at<T>(dy, r * a.columns + c);
    }
    put(result.length, r, along);
    for (index_t c = 0; c < a.columns; ++c) {
      const index_t k = r * a.columns + c;
      const T back = norm > static_cast<T>(a.epsilon) ? at<T>(x, k) / divisor * along : T(0);
      put(result.input, k, scale / divisor * (at<T>(dy, k) - back));
    }
  }
  return result;
}

/// State of an optimiser over a block; `moments` are AdamW's, or SGD's velocity and nothing.
struct OptimizerState {
  Values parameters, first, second, norms, steps;
};

inline bool moves(const kernels::ParameterSegment& segment, const kernels::StepSettings& settings) {
  return segment.always_frozen == 0.f && !(segment.freezable == 1.f && settings.frozen == 1.f);
}

template <class T>
void gradient_norms(const std::vector<kernels::ParameterSegment>& table,
                    const kernels::StepSettings& settings, const Values& gradients,
                    OptimizerState& state) {
  for (std::size_t s = 0; s < table.size(); ++s) {
    T sum = 0;
    for (index_t i = 0; i < table[s].count; ++i) {
      const T g = at<T>(gradients, table[s].offset + i);
      sum += g * g;
    }
    state.norms[s] = static_cast<double>(std::sqrt(sum));
    if (moves(table[s], settings)) state.steps[s] += 1;
  }
}

template <class T>
T clipped(T gradient, double norm, float clip) {
  if (clip <= 0.f) return gradient;
  return gradient * std::min(T(1), static_cast<T>(clip) / (static_cast<T>(norm) + T(1e-6)));
}

template <class T>
void adamw(const kernels::AdamW& a, const std::vector<kernels::ParameterSegment>& table,
           const kernels::StepSettings& settings, const Values& gradients, OptimizerState& state) {
  for (std::size_t s = 0; s < table.size(); ++s) {
    if (!moves(table[s], settings)) continue;
    const T rate =
        static_cast<T>(settings.learning_rate) * static_cast<T>(table[s].learning_rate_scale);
    const T decay =
        static_cast<T>(settings.weight_decay) * static_cast<T>(table[s].weight_decay_scale);
    const T correction1 = static_cast<T>(1 - std::pow(a.beta1, state.steps[s]));
    const T correction2 = static_cast<T>(1 - std::pow(a.beta2, state.steps[s]));
    const T beta1 = static_cast<T>(a.beta1), beta2 = static_cast<T>(a.beta2);
    for (index_t i = table[s].offset; i < table[s].offset + table[s].count; ++i) {
      const T g = clipped<T>(at<T>(gradients, i), state.norms[s], a.clip);
      const T m = beta1 * at<T>(state.first, i) + static_cast<T>(1 - a.beta1) * g;
      const T v = beta2 * at<T>(state.second, i) + static_cast<T>(1 - a.beta2) * g * g;
      put(state.first, i, m);
      put(state.second, i, v);
      const T decayed = at<T>(state.parameters, i) * (T(1) - rate * decay);
      const T divisor = std::sqrt(v) / std::sqrt(correction2) + static_cast<T>(a.epsilon);
      put(state.parameters, i, decayed - rate / correction1 * m / divisor);
    }
  }
}

template <class T>
void sgd(const kernels::Sgd& a, const std::vector<kernels::ParameterSegment>& table,
         const kernels::StepSettings& settings, const Values& gradients, OptimizerState& state) {
  for (std::size_t s = 0; s < table.size(); ++s) {
    if (!moves(table[s], settings)) continue;
    const T rate =
        static_cast<T>(settings.learning_rate) * static_cast<T>(table[s].learning_rate_scale);
    const T decay =
        static_cast<T>(settings.weight_decay) * static_cast<T>(table[s].weight_decay_scale);
    for (index_t i = table[s].offset; i < table[s].offset + table[s].count; ++i) {
      const T d = clipped<T>(at<T>(gradients, i), state.norms[s], a.clip) +
                  decay * at<T>(state.parameters, i);
      const T velocity = static_cast<T>(a.momentum) * at<T>(state.first, i) + d;
      put(state.first, i, velocity);
      put(state.parameters, i, at<T>(state.parameters, i) - rate * velocity);
    }
  }
}

}  // namespace vitsnna::oracle
