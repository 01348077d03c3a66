// The vector loops, compiled once per instruction set: VITSNNA_SIMD names this compilation's
// namespace. Products and sums written a * b + c fuse where the processor can (-ffp-contract=fast).
#include "kernels/cpu/simd/vector_loops.h"

#include "kernels/cpu/simd/vector_math.h"

namespace vitsnna::kernels::cpu::VITSNNA_SIMD {
namespace {

/// Calls body(column, count): whole vectors, then what is left over.
template <class Body>
VITSNNA_INLINE void by_vectors(index_t n, const Body& body) {
  index_t column = 0;
  for (; column + lanes <= n; column += lanes) body(column, lanes);
  if (column < n) body(column, n - column);
}

template <class Element>
VITSNNA_INLINE Floats get(const Element* from, index_t count) {
  return count == lanes ? load(from) : load_part(from, count);
}
template <class Element>
VITSNNA_INLINE void put(Element* to, Floats value, index_t count) {
  if (count == lanes) {
    store(to, value);
  } else {
    store_part(to, value, count);
  }
}

/// put() of a computed value.
VITSNNA_INLINE void put_result(float* to, Floats value, index_t count) { put(to, value, count); }
VITSNNA_INLINE void put_result(std::uint16_t* to, Floats value, index_t count) {
  if (count == lanes) {
    store_result(to, value);
  } else {
    store_part(to, value, count);
  }
}

/// body(pointer of the right element type)
template <class Body>
VITSNNA_INLINE void with_type(const void* data, DType dtype, const Body& body) {
  if (dtype == DType::f32) {
    body(static_cast<const float*>(data));
  } else {
    body(static_cast<const std::uint16_t*>(data));
  }
}
template <class Body>
VITSNNA_INLINE void with_type(void* data, DType dtype, const Body& body) {
  if (dtype == DType::f32) {
    body(static_cast<float*>(data));
  } else {
    body(static_cast<std::uint16_t*>(data));
  }
}

void exp2(index_t n, const float* x, float* y) {
  by_vectors(n,
             [&](index_t j, index_t count) { put(y + j, power_of_two(get(x + j, count)), count); });
}
void gelu(index_t n, const float* x, float* y) {
  by_vectors(n, [&](index_t j, index_t count) { put(y + j, gelu_of(get(x + j, count)), count); });
}
void gelu_derivative(index_t n, const float* x, float* y) {
  by_vectors(n, [&](index_t j, index_t count) {
    put(y + j, gelu_derivative_of(get(x + j, count)), count);
  });
}

void linear_epilogue(const EpilogueRow& row) {
  const auto finish = [&](auto* output, const auto& value_at) {
    if (row.residual) {
      const Floats factor = splat(row.factor);
      by_vectors(row.columns, [&](index_t j, index_t count) {
        put_result(output + j, factor * value_at(j, count) + get(row.residual + j, count), count);
      });
    } else {
      by_vectors(row.columns, [&](index_t j, index_t count) {
        put_result(output + j, value_at(j, count), count);
      });
    }
  };
  const auto linear_value = [&](index_t j, index_t count) {
    const Floats product = get(row.product + j, count);
    return row.bias ? product + get(row.bias + j, count) : product;
  };
  with_type(row.output, row.output_dtype, [&](auto* output) {
    switch (row.epilogue) {
      case Epilogue::none:
        finish(output, linear_value);
        break;
      case Epilogue::gelu:
        if (row.pre_activation) {
          with_type(row.pre_activation, row.pre_activation_dtype, [&](auto* kept) {
            finish(output, [&](index_t j, index_t count) {
              const Floats value = linear_value(j, count);
              put_result(kept + j, value, count);
              return gelu_of(value);
            });
          });
        } else {
          finish(output, [&](index_t j, index_t count) { return gelu_of(linear_value(j, count)); });
        }
        break;
      case Epilogue::gelu_backward:
        with_type(row.auxiliary, row.auxiliary_dtype, [&](const auto* auxiliary) {
          finish(output, [&](index_t j, index_t count) {
            return linear_value(j, count) * gelu_derivative_of(get(auxiliary + j, count));
          });
        });
        break;
    }
  });
}

/// Lanes of the vector at `column` that lie among the first `columns`.
VITSNNA_INLINE Ints inside(index_t column, index_t columns) {
  return lane_numbers() < static_cast<std::int32_t>(columns - column);
}

void softmax_tile(const ScoreTile& tile, index_t columns, float scale_log2e, const float* keep,
                  float* maxima, float* sums, float* corrections, std::uint16_t* rounded) {
  const index_t whole = columns / lanes * lanes;
  for (index_t i = 0; i < tile.rows; ++i) {
    float* row = tile.scores + i * tile.padded;
    Floats highest = splat(-__builtin_inff()), other = highest;
    index_t column = 0;
    for (; column + 2 * lanes <= whole; column += 2 * lanes) {
      highest = maximum(highest, load(row + column));
      other = maximum(other, load(row + column + lanes));
    }
    if (column < whole) highest = maximum(highest, load(row + column));
    if (whole < columns) {
      other = maximum(other, inside(whole, columns) ? load(row + whole) : other);
    }
    const float top = maximum_of(maximum(highest, other)) * scale_log2e;
    const float before = maxima[i];
    const float now = top > before ? top : before;
    const Floats shift = splat(-now);
    Floats sum{};
    const auto step = [&](index_t j, bool partial) {
      Floats p = power_of_two(load(row + j) * scale_log2e + shift);
      if (partial) p = inside(j, columns) ? p : Floats{};
      sum += p;
      if (keep) p *= load(keep + j);
      if (rounded) {
        store_result(rounded + i * tile.padded + j, p);
      } else {
        store(row + j, p);
      }
    };
    for (index_t j = 0; j < whole; j += lanes) step(j, false);
    for (index_t j = whole; j < tile.padded; j += lanes) step(j, true);
    const Floats factor = power_of_two(splat(before - now));
    corrections[i] = factor[0];
    sums[i] = sums[i] * factor[0] + sum_of(sum);
    maxima[i] = now;
  }
}

void probability_tile(const ScoreTile& tile, float scale_log2e, const float* shift,
                      std::uint16_t* rounded) {
  for (index_t i = 0; i < tile.rows; ++i) {
    float* row = tile.scores + i * tile.padded;
    std::uint16_t* rounded_row = rounded ? rounded + i * tile.padded : nullptr;
    for (index_t j = 0; j < tile.padded; j += lanes) {
      const Floats p = power_of_two(load(row + j) * scale_log2e + load(shift + j));
      store(row + j, p);
      if (rounded) store_result(rounded_row + j, p);
    }
  }
}

void score_gradient_tile(const ScoreTile& gradient, const float* probabilities,
                         const float* row_dot, float scale, std::uint16_t* rounded) {
  for (index_t i = 0; i < gradient.rows; ++i) {
    float* row = gradient.scores + i * gradient.padded;
    const float* p = probabilities + i * gradient.padded;
    for (index_t j = 0; j < gradient.padded; j += lanes) {
      const Floats value = load(p + j) * (load(row + j) - load(row_dot + j)) * scale;
      if (rounded) {
        store_result(rounded + i * gradient.padded + j, value);
      } else {
        store(row + j, value);
      }
    }
  }
}

/// relevance_tile for as many chains as are known when the loop is compiled.
template <index_t Chains>
VITSNNA_INLINE void relevance_of(const RelevanceTile& args, index_t first_chain) {
  const ScoreTile& tile = args.tile;
  const float* weights = args.weights + first_chain * args.weight_stride;
  float* sums = args.sums + first_chain * args.sum_stride;
  for (index_t i = 0; i < tile.rows; ++i) {
    float* row = tile.scores + i * tile.padded;
    const float* gradient = args.gradient ? args.gradient + i * tile.padded : nullptr;
    Floats sum[Chains] = {};
    for (index_t j = 0; j < tile.padded; j += lanes) {
      Floats p = load(row + j);
      if (args.shift) {
        p = power_of_two(p * args.scale_log2e + load(args.shift + j));
        if (args.keep_probabilities) store(row + j, p);
      }
      if (gradient) p *= maximum(Floats{}, load(gradient + j));
      for (index_t c = 0; c < Chains; ++c) sum[c] += p * load(weights + c * args.weight_stride + j);
    }
    for (index_t c = 0; c < Chains; ++c) sums[c * args.sum_stride + i] += sum_of(sum[c]);
  }
}

void relevance_tile(const RelevanceTile& asked) {
  RelevanceTile args = asked;
  if (args.chains > 2 && args.shift) args.keep_probabilities = true;
  for (index_t chain = 0; chain < args.chains; chain += 2) {
    if (chain + 1 < args.chains) {
      relevance_of<2>(args, chain);
    } else {
      relevance_of<1>(args, chain);
    }
    args.shift = nullptr;
  }
}

void convert(index_t n, const void* source, DType source_dtype, float factor, void* destination,
             DType destination_dtype) {
  with_type(source, source_dtype, [&](const auto* from) {
    with_type(destination, destination_dtype, [&](auto* to) {
      by_vectors(
          n, [&](index_t j, index_t count) { put(to + j, get(from + j, count) * factor, count); });
    });
  });
}

void add_scaled(index_t n, const void* source, DType source_dtype, float factor,
                float* destination) {
  with_type(source, source_dtype, [&](const auto* from) {
    by_vectors(n, [&](index_t j, index_t count) {
      put(destination + j, get(from + j, count) * factor + get(destination + j, count), count);
    });
  });
}

float dot(index_t n, const void* a, const void* b, DType dtype) {
  float result = 0;
  with_type(a, dtype, [&](const auto* left) {
    const auto* right = static_cast<decltype(left)>(b);
    Floats sum{};
    by_vectors(n, [&](index_t j, index_t count) {
      sum = get(left + j, count) * get(right + j, count) + sum;
    });
    result = sum_of(sum);
  });
  return result;
}

#define VITSNNA_TEXT_OF(name) #name
#define VITSNNA_TEXT(name) VITSNNA_TEXT_OF(name)

}  // namespace

extern const VectorLoops loops = {VITSNNA_TEXT(VITSNNA_SIMD),
                                  exp2,
                                  gelu,
                                  gelu_derivative,
                                  linear_epilogue,
                                  softmax_tile,
                                  probability_tile,
                                  score_gradient_tile,
                                  relevance_tile,
                                  convert,
                                  add_scaled,
                                  dot};

}  // namespace vitsnna::kernels::cpu::VITSNNA_SIMD
