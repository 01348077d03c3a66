// Oracles of the linear layers and of the value norm. Dense operands; a missing one is empty.
#pragma once

#include "kernels/linear.h"
#include "kernels/value_norm.h"
#include "tests/oracle/rows.h"

namespace vitsnna::oracle {

struct LinearOperands {
  Values input;      ///< (items, rows, inner)
  Values weight;     ///< (out_features, in_features), as the product reads it
  Values bias;       ///< (outer)
  Values auxiliary;  ///< (auxiliary_items, rows, outer)
  Values residual;   ///< (items, rows, outer)
  Values factors;    ///< of each row of `residual`
};

struct LinearResult {
  Values output, pre_activation;
};

template <class T>
LinearResult linear(const kernels::Linear& a, const LinearOperands& v) {
  const index_t inner = a.weight.inner(), outer = a.weight.outer();
  LinearResult result{zeros(a.items * a.rows * outer), zeros(a.items * a.rows * outer)};
  for (index_t r = 0; r < a.items * a.rows; ++r) {
    for (index_t o = 0; o < outer; ++o) {
      T sum = 0;
      for (index_t k = 0; k < inner; ++k) {
        const index_t w = a.weight.transposed ? k * outer + o : o * inner + k;
        sum += at<T>(v.input, r * inner + k) * at<T>(v.weight, w);
      }
      if (!v.bias.empty()) sum += at<T>(v.bias, o);
      put(result.pre_activation, r * outer + o, stored(sum, a.pre_activation.dtype));
      if (a.epilogue == kernels::Epilogue::gelu) sum = gelu(sum);
      if (a.epilogue == kernels::Epilogue::gelu_backward) {
        const index_t row = r / a.rows % a.auxiliary_items * a.rows + r % a.rows;
        sum *= gelu_derivative(at<T>(v.auxiliary, row * outer + o));
      }
      if (!v.factors.empty()) sum *= at<T>(v.factors, r);
      if (!v.residual.empty()) sum += at<T>(v.residual, r * outer + o);
      put(result.output, r * outer + o, stored(sum, a.output.dtype));
    }
  }
  return result;
}

struct LinearGradients {
  Values weight, bias;  ///< what the op adds
};

template <class T>
LinearGradients linear_weight_gradient(const kernels::LinearWeightGradient& a, const Values& input,
                                       const Values& output_gradient) {
  LinearGradients d{zeros(a.out_features * a.in_features), zeros(a.out_features)};
  for (index_t o = 0; o < a.out_features; ++o) {
    T bias = 0;
    for (index_t r = 0; r < a.items * a.rows; ++r) {
      bias += at<T>(output_gradient, r * a.out_features + o);
    }
    put(d.bias, o, bias);
    for (index_t k = 0; k < a.in_features; ++k) {
      T sum = 0;
      for (index_t r = 0; r < a.items * a.rows; ++r) {
        sum += at<T>(output_gradient, r * a.out_features + o) * at<T>(input, r * a.in_features + k);
      }
      put(d.weight, o * a.in_features + k, sum);
    }
  }
  return d;
}

struct ValueNorms {
  Values norm;      ///< (items, rows): || sum_h scale_hj v^_hj ||
  Values per_head;  ///< (items, heads, rows): || scale_hj v^_hj ||
};

template <class T>
ValueNorms value_norm(const kernels::ValueNorm& a, const Values& value, const Values& projection,
                      const Values& scale = {}) {
  const index_t width = a.heads * a.head_dim, embed_dim = a.projection.out_features;
  ValueNorms result{zeros(a.items * a.rows), zeros(a.items * a.heads * a.rows)};
  for (index_t item = 0; item < a.items; ++item) {
    for (index_t j = 0; j < a.rows; ++j) {
      std::vector<T> total(static_cast<std::size_t>(embed_dim), T(0));
      for (index_t h = 0; h < a.heads; ++h) {
        T square = 0;
        const index_t row = (item * a.heads + h) * a.rows + j;
        const T factor = scale.empty() ? T(1) : at<T>(scale, row);
        for (index_t o = 0; o < embed_dim; ++o) {
          T transformed = 0;  // v^_hj[o] = sum_k v_hj[k] W_O[o, h head_dim + k]
          for (index_t k = h * a.head_dim; k < (h + 1) * a.head_dim; ++k) {
            const T v =
                stored(factor * at<T>(value, (item * a.rows + j) * width + k), a.projection.dtype);
            transformed += v * at<T>(projection, o * width + k);
          }
          square += transformed * transformed;
          total[static_cast<std::size_t>(o)] += transformed;
        }
        put(result.per_head, row, std::sqrt(square));
      }
      T square = 0;
      for (const T component : total) square += component * component;
      put(result.norm, item * a.rows + j, std::sqrt(square));
    }
  }
  return result;
}

}  // namespace vitsnna::oracle
