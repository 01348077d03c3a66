// The vector loops of every instruction set that this processor runs: polynomials within the bounds
// that kernels/cpu/simd/vector_loops.h states, and nothing written past an operand's end.
#include "kernels/cpu/simd/vector_loops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/bf16.h"

namespace vitsnna::kernels::cpu {
namespace {

std::vector<const VectorLoops*> runnable() {
  const VectorLoopTables found = runnable_vector_loops();
  return {found.tables, found.tables + found.count};
}

class VectorLoopsTest : public testing::TestWithParam<const VectorLoops*> {
 protected:
  const VectorLoops& loops() const { return *GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Every, VectorLoopsTest, testing::ValuesIn(runnable()),
                         [](const auto& instance) { return std::string(instance.param->name); });

/// Floats of both signs from `smallest` to `largest` in magnitude, evenly over their bit patterns,
/// and 0.
std::vector<float> sweep(float smallest, float largest, std::uint32_t step) {
  std::vector<float> values = {0.f};
  const auto last = std::bit_cast<std::uint32_t>(largest);
  for (auto bits = std::bit_cast<std::uint32_t>(smallest); bits <= last; bits += step) {
    values.push_back(std::bit_cast<float>(bits));
    values.push_back(-std::bit_cast<float>(bits));
  }
  return values;
}

long double gelu(long double t) { return t * (1 + std::erf(t / std::sqrt(2.L))) / 2; }
long double gelu_derivative(long double t) {
  return (1 + std::erf(t / std::sqrt(2.L))) / 2 +
         t * std::exp(-t * t / 2) / std::sqrt(2 * 3.14159265358979323846L);
}

TEST_P(VectorLoopsTest, PowersOfTwoAreWithinTheirBound) {
  const auto x = sweep(1e-10f, 126.f, 997);
  std::vector<float> y(x.size());
  loops().exp2(static_cast<index_t>(x.size()), x.data(), y.data());
  long double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double exact = std::exp2(static_cast<long double>(x[i]));
    worst = std::max(worst, std::abs(y[i] - exact) / exact);
  }
  EXPECT_LE(worst, 3e-7L);
}

TEST_P(VectorLoopsTest, PowersOfTwoVanishFarBelowAndKeepNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {-126.5f, -200.f, -1e30f, -infinity,
                                std::numeric_limits<float>::quiet_NaN()};
  std::vector<float> y(x.size());
  loops().exp2(static_cast<index_t>(x.size()), x.data(), y.data());
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(y[i], 0.f) << x[i];
  EXPECT_TRUE(std::isnan(y[4]));
}

TEST_P(VectorLoopsTest, GeluAndItsDerivativeAreWithinTheirBounds) {
  const auto x = sweep(1e-10f, 40.f, 997);
  std::vector<float> value(x.size()), derivative(x.size());
  loops().gelu(static_cast<index_t>(x.size()), x.data(), value.data());
  loops().gelu_derivative(static_cast<index_t>(x.size()), x.data(), derivative.data());
  long double worst_value = 0, worst_derivative = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double t = x[i];
    worst_value = std::max(worst_value, std::abs(value[i] - gelu(t)) / std::max(1.L, std::abs(t)));
    worst_derivative = std::max(worst_derivative, std::abs(derivative[i] - gelu_derivative(t)));
  }
  EXPECT_LE(worst_value, 3e-7L);
  EXPECT_LE(worst_derivative, 1e-6L);
}

TEST_P(VectorLoopsTest, EveryLengthIsFinishedAndNothingBeyondIt) {
  for (index_t n = 0; n <= 50; ++n) {
    std::vector<float> x(static_cast<std::size_t>(n) + 20, .5f), y(x.size(), -7.f);
    loops().gelu(n, x.data(), y.data());
    for (index_t i = 0; i < n; ++i) EXPECT_NEAR(y[i], static_cast<double>(gelu(.5L)), 1e-6) << n;
    for (std::size_t i = static_cast<std::size_t>(n); i < y.size(); ++i) EXPECT_EQ(y[i], -7.f) << n;

    std::vector<bf16> rounded(x.size(), bf16{0x1234});
    loops().convert(n, x.data(), DType::f32, 3.f, rounded.data(), DType::bf16);
    for (index_t i = 0; i < n; ++i) EXPECT_EQ(to_float(rounded[i]), 1.5f) << n;
    for (std::size_t i = static_cast<std::size_t>(n); i < rounded.size(); ++i) {
      EXPECT_EQ(rounded[i].bits, 0x1234) << n;
    }
    EXPECT_EQ(loops().dot(n, x.data(), x.data(), DType::f32), .25f * static_cast<float>(n));
  }
}

TEST_P(VectorLoopsTest, ConversionsAreThoseOfTheScalarFunctions) {
  std::vector<float> values = sweep(1e-44f, 3e38f, 65537);
  for (std::uint32_t bits : {0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7fffffffu, 0x7f7fffffu}) {
    values.push_back(std::bit_cast<float>(bits));
  }
  const auto n = static_cast<index_t>(values.size());
  std::vector<bf16> rounded(values.size());
  std::vector<float> back(values.size());
  loops().convert(n, values.data(), DType::f32, 1.f, rounded.data(), DType::bf16);
  loops().convert(n, rounded.data(), DType::bf16, 1.f, back.data(), DType::f32);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(rounded[i].bits, to_bf16(values[i]).bits) << values[i];
    ASSERT_EQ(std::bit_cast<std::uint32_t>(back[i]),
              std::bit_cast<std::uint32_t>(to_float(rounded[i])));
  }
}

TEST_P(VectorLoopsTest, SoftmaxInTwoStepsEqualsOne) {
  constexpr index_t rows = 3, columns = 37, padded = 48;
  std::vector<float> scores(rows * padded);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = 9.f * std::sin(static_cast<float>(i) * 1.3f);
  }
  for (index_t split = 1; split < columns; ++split) {
    std::vector<float> maximum(rows, -std::numeric_limits<float>::infinity()), sum(rows, 0.f),
        correction(rows);
    std::vector<double> total(rows, 0.);
    for (const auto& [first, count] : {std::pair{index_t{0}, split}, {split, columns - split}}) {
      std::vector<float> part(rows * padded, std::numeric_limits<float>::quiet_NaN());
      for (index_t r = 0; r < rows; ++r) {
        for (index_t c = 0; c < count; ++c) part[r * padded + c] = scores[r * padded + first + c];
      }
      loops().softmax_tile({rows, padded, part.data()}, count, 1.f, nullptr, maximum.data(),
                           sum.data(), correction.data(), nullptr);
      for (index_t r = 0; r < rows; ++r) {
        total[r] *= correction[r];
        for (index_t c = 0; c < padded; ++c) total[r] += part[r * padded + c];
      }
    }
    for (index_t r = 0; r < rows; ++r) {
      double exact = 0;
      for (index_t c = 0; c < columns; ++c) exact += std::exp2(double{scores[r * padded + c]});
      EXPECT_NEAR(maximum[r] + std::log2(sum[r]), std::log2(exact), 2e-6);
      EXPECT_NEAR(total[r] / sum[r], 1., 1e-6);
    }
  }
}

}  // namespace
}  // namespace vitsnna::kernels::cpu
