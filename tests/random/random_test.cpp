// The generator's promises: published Philox answers, accuracy of its logarithm and sine, normals
// that are normal and independent, and the same bits from every instruction set.
#include "kernels/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cpu/simd/row_loops.h"
#include "kernels/random_math.h"
#include "tests/random/normals_golden.h"

namespace vitsnna::kernels {
namespace {

using Words = std::array<std::uint32_t, 4>;

TEST(Philox, MatchesTheKnownAnswersOfRandom123) {
  constexpr std::uint32_t ones = 0xffffffffu;
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(philox4x32_10({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(philox4x32_10({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
                          {0xa4093822u, 0x299f31d0u}),
            (Words{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

/// |value - exact| in units in the last place of `exact`.
double ulps(float value, double exact) {
  const int exponent = std::ilogb(exact);
  return std::abs(static_cast<double>(value) - exact) / std::ldexp(1., exponent - 23);
}

TEST(RandomMath, LogarithmIsWithinOneUlpOfEveryArgument) {
  double worst = 0.;
  for (std::uint32_t k = 1; k < (1u << 24); ++k) {
    const float u = static_cast<float>(k) * 0x1p-24f;
    worst = std::max(worst, ulps(random_math::logarithm(u), std::log(static_cast<double>(u))));
  }
  EXPECT_LT(worst, 1.);
  EXPECT_EQ(random_math::logarithm(1.f), 0.f);
}

TEST(RandomMath, SineAndCosineAreWithinOneUlpOfEveryArgument) {
  // One quadrant against the library, the other three by symmetry, which is exact.
  constexpr std::uint32_t quarter = 1u << 22;
  double worst = 0.;
  for (std::uint32_t k = 0; k < quarter; ++k) {
    const auto [sine, cosine] = random_math::sine_cosine_of_turn(k);
    const double angle = 2. * 3.14159265358979323846 * static_cast<double>(k) * 0x1p-24;
    if (k > 0) worst = std::max(worst, ulps(sine, std::sin(angle)));
    worst = std::max(worst, ulps(cosine, std::cos(angle)));
    const auto second = random_math::sine_cosine_of_turn(k + quarter);
    const auto third = random_math::sine_cosine_of_turn(k + 2 * quarter);
    const auto fourth = random_math::sine_cosine_of_turn(k + 3 * quarter);
    ASSERT_TRUE(second.sine == cosine && second.cosine == -sine) << k;
    ASSERT_TRUE(third.sine == -sine && third.cosine == -cosine) << k;
    ASSERT_TRUE(fourth.sine == -cosine && fourth.cosine == sine) << k;
  }
  EXPECT_LT(worst, 1.);
}

TEST(RandomMath, NormalsAreWithinThreeUlpsOfTheFormula) {
  double worst = 0.;
  for (std::uint32_t k = 0; k < 200000; ++k) {
    const Words words = philox4x32_10({k, 1, 2, 3}, {4, 5});
    const auto [first, second] = random_math::normal_pair(words[0], words[1]);
    const double u = (static_cast<double>(words[0] >> 8) + 1.) * 0x1p-24;
    const double turn = 2. * 3.14159265358979323846 * static_cast<double>(words[1] >> 8) * 0x1p-24;
    const double radius = std::sqrt(-2. * std::log(u));
    worst = std::max(worst, ulps(first, radius * std::cos(turn)));
    worst = std::max(worst, ulps(second, radius * std::sin(turn)));
  }
  EXPECT_LT(worst, 3.);
}

std::vector<float> draw(const cpu::RowLoops& loops, const GaussianNoise& noise,
                        std::uint32_t sample, index_t first, index_t count) {
  std::vector<float> z(static_cast<std::size_t>(count));
  loops.gaussian(noise, sample, first, count, z.data());
  return z;
}

GaussianNoise unit_noise(std::uint64_t seed = 0) {
  GaussianNoise noise;
  noise.sigma = 1.f;
  noise.seed = seed;
  return noise;
}

TEST(Normals, AreTheCommittedBitsOnEveryDevice) {
  GaussianNoise noise = unit_noise(normals_golden::seed);
  noise.image_id = normals_golden::image_id;
  std::size_t k = 0;
  for (const std::uint32_t bits : normals_golden::bits) {
    const auto block =
        gaussian_block(noise, normals_golden::sample,
                       normals_golden::first_block + static_cast<std::uint32_t>(k / 4));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(block[k % 4]), bits) << "normal " << k;
    ++k;
  }
}

TEST(Normals, AreTheSameBitsOnEveryInstructionSet) {
  const GaussianNoise noise = unit_noise(0xfeedfacecafebeefull);
  for (const auto set :
       {cpu::InstructionSet::baseline, cpu::InstructionSet::avx2, cpu::InstructionSet::avx512}) {
    const cpu::RowLoops* loops = cpu::row_loops(set);
    if (!loops) continue;
    for (const index_t first : {0, 1, 6, 63, 4099}) {
      for (const index_t count : {1, 2, 64, 1001}) {
        const auto z = draw(*loops, noise, 9, first, count);
        for (index_t i = 0; i < count; ++i) {
          const auto block = gaussian_block(noise, 9, static_cast<std::uint32_t>((first + i) / 4));
          ASSERT_EQ(std::bit_cast<std::uint32_t>(z[static_cast<std::size_t>(i)]),
                    std::bit_cast<std::uint32_t>(block[static_cast<std::size_t>((first + i) % 4)]))
              << "set " << static_cast<int>(set) << " element " << first + i;
        }
      }
    }
  }
}

constexpr index_t many = 1 << 20;

TEST(Normals, HaveTheMomentsOfANormal) {
  const auto z = draw(cpu::row_loops(), unit_noise(), 0, 0, many);
  double moments[4] = {};
  for (const float value : z) {
    double power = 1.;
    for (double& moment : moments) moment += power *= static_cast<double>(value);
  }
  for (double& moment : moments) moment /= static_cast<double>(many);
  // Five standard errors of each moment: their variances are 1, 2, 15 and 96 over the count.
  const double root = std::sqrt(static_cast<double>(many));
  EXPECT_NEAR(moments[0], 0., 5. / root);
  EXPECT_NEAR(moments[1], 1., 5. * std::sqrt(2.) / root);
  EXPECT_NEAR(moments[2], 0., 5. * std::sqrt(15.) / root);
  EXPECT_NEAR(moments[3], 3., 5. * std::sqrt(96.) / root);
}

TEST(Normals, PassKolmogorovSmirnovAgainstTheNormal) {
  auto z = draw(cpu::row_loops(), unit_noise(3), 0, 0, many);
  std::sort(z.begin(), z.end());
  double distance = 0.;
  for (std::size_t k = 0; k < z.size(); ++k) {
    const double below = .5 * std::erfc(-static_cast<double>(z[k]) / std::sqrt(2.));
    const double n = static_cast<double>(many);
    distance = std::max(
        {distance, below - static_cast<double>(k) / n, static_cast<double>(k + 1) / n - below});
  }
  // 1.95 / sqrt(n) is exceeded once in a thousand; the draw is fixed.
  EXPECT_LT(distance, 1.95 / std::sqrt(static_cast<double>(many)));
}

double correlation(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.) / static_cast<double>(a.size());
}

TEST(Normals, OfOtherElementsSamplesImagesStreamsAndSeedsAreIndependent) {
  const GaussianNoise noise = unit_noise(5);
  const auto z = draw(cpu::row_loops(), noise, 0, 0, many);
  const double limit = 5. / std::sqrt(static_cast<double>(many));
  for (const index_t lag : {1, 2, 3, 4, 64, 224}) {
    EXPECT_LT(std::abs(correlation(z, draw(cpu::row_loops(), noise, 0, lag, many))), limit) << lag;
  }
  EXPECT_LT(std::abs(correlation(z, draw(cpu::row_loops(), noise, 1, 0, many))), limit);
  GaussianNoise other = noise;
  other.image_id = 1;
  EXPECT_LT(std::abs(correlation(z, draw(cpu::row_loops(), other, 0, 0, many))), limit);
  other = noise;
  other.stream = RandomStream::initialisation;
  EXPECT_LT(std::abs(correlation(z, draw(cpu::row_loops(), other, 0, 0, many))), limit);
  for (const std::uint64_t seed : {std::uint64_t{4}, std::uint64_t{5} << 32}) {
    EXPECT_LT(std::abs(correlation(z, draw(cpu::row_loops(), unit_noise(seed), 0, 0, many))),
              limit);
  }
  // Squares, too: Box-Muller's pairs share a radius only if the angle is not uniform.
  const auto next = draw(cpu::row_loops(), noise, 0, 1, many);
  double sum = 0.;
  for (std::size_t k = 0; k < z.size(); ++k) {
    const double a = static_cast<double>(z[k]), b = static_cast<double>(next[k]);
    sum += (a * a - 1.) * (b * b - 1.);
  }
  EXPECT_LT(std::abs(sum / static_cast<double>(many)), 2. * limit);
}

TEST(RowLoops, GiveTheSameBitsOnEveryInstructionSet) {
  const cpu::RowLoops& baseline = *cpu::row_loops(cpu::InstructionSet::baseline);
  const auto input = draw(baseline, unit_noise(1), 0, 0, 4000);
  const auto gain = draw(baseline, unit_noise(2), 0, 0, 4000);
  const auto slope = draw(baseline, unit_noise(3), 0, 0, 4000);
  const auto run = [&](const cpu::RowLoops& loops, index_t columns, DType dtype) {
    std::vector<float> out(5 * static_cast<std::size_t>(columns), 0.f);
    float* at = out.data();
    loops.layer_norm(input.data(), gain.data(), slope.data(), 1e-6f, columns, at, dtype);
    loops.copy(slope.data(), DType::f32, columns, .75f, false, at + columns, dtype);
    cpu::LayerNormBackwardRow row;
    row.input = input.data();
    row.gain = gain.data();
    row.epsilon = 1e-6f;
    row.output_gradient = slope.data();
    row.dtype = dtype;
    row.input_gradient = at + 2 * columns;
    row.gain_gradient = at + 3 * columns;
    row.shift_gradient = at + 4 * columns;
    loops.layer_norm_backward(row, columns);
    std::vector<std::uint32_t> bits;
    for (const float value : out) bits.push_back(std::bit_cast<std::uint32_t>(value));
    return bits;
  };
  for (const auto set : {cpu::InstructionSet::avx2, cpu::InstructionSet::avx512}) {
    const cpu::RowLoops* loops = cpu::row_loops(set);
    if (!loops) continue;
    for (const index_t columns : {1, 15, 16, 17, 384, 1001}) {
      for (const DType dtype : {DType::f32, DType::bf16}) {
        EXPECT_EQ(run(*loops, columns, dtype), run(baseline, columns, dtype))
            << "set " << static_cast<int>(set) << " columns " << columns;
      }
    }
  }
}

}  // namespace
}  // namespace vitsnna::kernels
