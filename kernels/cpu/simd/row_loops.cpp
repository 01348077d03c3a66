// Bodies of the row loops. Compiled once per instruction set, into namespace VITSNNA_SIMD; nothing
// here may have external linkage but the table, and no inline function of another header may be
// called unless it is always inlined: an AVX-512 copy of it could be linked into the baseline.
#include "kernels/cpu/simd/row_loops.h"

#include "kernels/random_math.h"

namespace vitsnna::kernels::cpu::VITSNNA_SIMD {
namespace {

constexpr index_t num_lanes = 16;

/// The bits of bf16 as a type of their own, so that templates tell it from fp32.
struct Half {
  std::uint16_t bits;
};

inline float load(const float* source) { return *source; }
inline float load(const Half* source) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(source->bits) << 16);
}

inline void store(float value, float* destination) { *destination = value; }
/// Round to nearest even; NaN stays NaN: as to_bf16 (kernels/bf16.h).
inline void store(float value, Half* destination) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t quiet = (bits >> 16) | 0x0040u;
  destination->bits =
      static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

/// Calls body with typed pointers for a row of either type.
template <class Body>
void with_type(const void* row, DType dtype, const Body& body) {
  if (dtype == DType::f32) {
    body(static_cast<const float*>(row));
  } else {
    body(static_cast<const Half*>(row));
  }
}
template <class Body>
void with_type(void* row, DType dtype, const Body& body) {
  if (dtype == DType::f32) {
    body(static_cast<float*>(row));
  } else {
    body(static_cast<Half*>(row));
  }
}

/// Sixteen partial sums, lane l taking columns l, l + 16, ..; joined in one fixed order.
struct Lanes {
  float lane[num_lanes] = {};
  float total() {
    for (index_t half = num_lanes / 2; half > 0; half /= 2) {
      for (index_t l = 0; l < half; ++l) lane[l] += lane[l + half];
    }
    return lane[0];
  }
};

/// sums[k] += term(column)[k]: `term(column, lane, sums)` adds to sums[..].lane[lane].
template <int count, class Term>
inline void sum_columns(index_t columns, Lanes (&sums)[count], const Term& term) {
  index_t column = 0;
  for (; column + num_lanes <= columns; column += num_lanes) {
#pragma omp simd
    for (index_t l = 0; l < num_lanes; ++l) term(column + l, l, sums);
  }
  for (index_t l = 0; column + l < columns; ++l) term(column + l, l, sums);
}

struct RowStatistics {
  float mean, inverse_deviation;
};

inline RowStatistics statistics(const float* input, index_t columns, float epsilon) {
  const auto width = static_cast<float>(columns);
  Lanes sum[1];
  sum_columns(columns, sum,
              [input](index_t c, index_t l, Lanes(&s)[1]) { s[0].lane[l] += input[c]; });
  const float mean = sum[0].total() / width;
  Lanes squares[1];
  sum_columns(columns, squares, [input, mean](index_t c, index_t l, Lanes(&s)[1]) {
    const float centred = input[c] - mean;
    s[0].lane[l] += centred * centred;
  });
  const float variance = squares[0].total() / width;
  return {mean, 1.f / __builtin_sqrtf(variance + epsilon)};
}

void layer_norm(const float* input, const float* gain, const float* shift, float epsilon,
                index_t columns, void* output, DType output_dtype) {
  const RowStatistics row = statistics(input, columns, epsilon);
  with_type(output, output_dtype, [&](auto* out) {
    for (index_t c = 0; c < columns; ++c) {
      store((input[c] - row.mean) * row.inverse_deviation * gain[c] + shift[c], out + c);
    }
  });
}

/// With x^ the normalised row and t = gain * dy:
/// dx = (t - mean(t) - x^ mean(t x^)) / deviation; dgain = dy x^; dshift = dy.
void layer_norm_backward(const LayerNormBackwardRow& row, index_t columns) {
  const float* input = row.input;
  const float* gain = row.gain;
  // No structured binding: the lambdas below capture these, which clang 14 allows for names only.
  const RowStatistics found = statistics(input, columns, row.epsilon);
  const float mean = found.mean;
  const float inverse_deviation = found.inverse_deviation;
  with_type(row.output_gradient, row.dtype, [&](const auto* dy) {
    Lanes sums[2];
    sum_columns(columns, sums, [=](index_t c, index_t l, Lanes(&s)[2]) {
      const float t = load(dy + c) * gain[c];
      s[0].lane[l] += t;
      s[1].lane[l] += t * ((input[c] - mean) * inverse_deviation);
    });
    const float mean_t = sums[0].total() / static_cast<float>(columns);
    const float mean_tx = sums[1].total() / static_cast<float>(columns);
    if (row.gain_gradient) {
      for (index_t c = 0; c < columns; ++c) {
        const float slope = load(dy + c);
        row.gain_gradient[c] += slope * ((input[c] - mean) * inverse_deviation);
        row.shift_gradient[c] += slope;
      }
    }
    float* dx = row.input_gradient;
    if (row.accumulate) {
      for (index_t c = 0; c < columns; ++c) {
        const float normalised = (input[c] - mean) * inverse_deviation;
        dx[c] += (load(dy + c) * gain[c] - mean_t - normalised * mean_tx) * inverse_deviation;
      }
    } else {
      for (index_t c = 0; c < columns; ++c) {
        const float normalised = (input[c] - mean) * inverse_deviation;
        dx[c] = (load(dy + c) * gain[c] - mean_t - normalised * mean_tx) * inverse_deviation;
      }
    }
  });
}

void copy(const void* input, DType input_dtype, index_t columns, float factor, bool accumulate,
          void* output, DType output_dtype) {
  with_type(output, output_dtype, [&](auto* out) {
    if (!input) {
      for (index_t c = 0; c < columns && !accumulate; ++c) store(0.f, out + c);
      return;
    }
    with_type(input, input_dtype, [&](const auto* in) {
      if (accumulate) {
        for (index_t c = 0; c < columns; ++c) store(load(out + c) + factor * load(in + c), out + c);
      } else {
        for (index_t c = 0; c < columns; ++c) store(factor * load(in + c), out + c);
      }
    });
  });
}

/// m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p = p keep - step m / (sqrt(v) scale + epsilon)
void adamw(const AdamWRun& run) {
  const AdamWRun r = run;
#pragma omp simd
  for (index_t i = 0; i < r.count; ++i) {
    const float g = r.gradient[i] * r.clip_factor;
    const float m = r.beta1 * r.first_moment[i] + r.rest1 * g;
    const float v = r.beta2 * r.second_moment[i] + r.rest2 * g * g;
    r.first_moment[i] = m;
    r.second_moment[i] = v;
    r.parameter[i] =
        r.parameter[i] * r.keep - r.step * m / (__builtin_sqrtf(v) * r.scale + r.epsilon);
  }
}

/// Sixteen Philox blocks, one a lane, give 64 normals in element order.
struct Normals {
  float z[4 * num_lanes];
};

inline void draw(const GaussianNoise& noise, std::uint32_t sample, std::uint32_t first_block,
                 Normals& normals) {
  const auto key_0 = static_cast<std::uint32_t>(noise.seed);
  const auto key_1 = static_cast<std::uint32_t>(noise.seed >> 32);
  const auto stream = static_cast<std::uint32_t>(noise.stream);
  const std::uint32_t image_id = noise.image_id;
  std::uint32_t words[4][num_lanes];
#pragma omp simd
  for (std::uint32_t l = 0; l < num_lanes; ++l) {
    const random_math::Words block =
        random_math::philox({{first_block + l, sample, image_id, stream}}, key_0, key_1);
    words[0][l] = block.word[0];
    words[1][l] = block.word[1];
    words[2][l] = block.word[2];
    words[3][l] = block.word[3];
  }
  float columns[4][num_lanes];
  for (int pair = 0; pair < 4; pair += 2) {
#pragma omp simd
    for (index_t l = 0; l < num_lanes; ++l) {
      const random_math::NormalPair z =
          random_math::normal_pair(words[pair][l], words[pair + 1][l]);
      columns[pair][l] = z.first;
      columns[pair + 1][l] = z.second;
    }
  }
  for (index_t l = 0; l < num_lanes; ++l) {
    for (int k = 0; k < 4; ++k) normals.z[4 * l + k] = columns[k][l] * noise.sigma;
  }
}

void gaussian(const GaussianNoise& noise, std::uint32_t sample, index_t first, index_t count,
              float* output) {
  constexpr index_t group = 4 * num_lanes;
  Normals normals;
  for (index_t done = 0; done < count;) {
    const index_t element = first + done;
    draw(noise, sample, static_cast<std::uint32_t>(element / 4), normals);
    const index_t skip = element % 4;
    const index_t taken = group - skip < count - done ? group - skip : count - done;
    for (index_t i = 0; i < taken; ++i) output[done + i] = normals.z[skip + i];
    done += taken;
  }
}

}  // namespace

extern const RowLoops loops;
const RowLoops loops = {gaussian, layer_norm, layer_norm_backward, copy, adamw};

}  // namespace vitsnna::kernels::cpu::VITSNNA_SIMD
