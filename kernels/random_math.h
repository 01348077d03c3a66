// The arithmetic of a random draw - Philox4x32-10, a logarithm, a sine and a cosine - for host and
// device code alike. Every step is an IEEE single-precision +, *, sqrt or fused multiply-add, or an
// integer operation, so that no library, compiler flag or device changes a bit. SPEC section 9.
//
// Errors, tested in tests/random over all 2^24 arguments: logarithm, sine and cosine below 1 ulp; a
// normal below 3. The coefficients are minimax fits made for this file, rounded to fp32 one by one
// from the lowest degree up.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace vitsnna::kernels::random_math {

/// a b + c, rounded once.
VITSNNA_HOST_DEVICE float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

/// The four words of a counter or of a block of random bits.
struct Words {
  std::uint32_t word[4];
};

/// Ten rounds of Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
VITSNNA_HOST_DEVICE Words philox(Words counter, std::uint32_t key_0, std::uint32_t key_1) {
  constexpr std::uint64_t multiplier_0 = 0xD2511F53u, multiplier_1 = 0xCD9E8D57u;
#if defined(__CUDA_ARCH__)
#pragma unroll
#elif !defined(__CUDACC__)
#pragma GCC unroll 10
#endif
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = multiplier_0 * counter.word[0];
    const std::uint64_t product_1 = multiplier_1 * counter.word[2];
    counter = {{static_cast<std::uint32_t>(product_1 >> 32) ^ counter.word[1] ^ key_0,
                static_cast<std::uint32_t>(product_1),
                static_cast<std::uint32_t>(product_0 >> 32) ^ counter.word[3] ^ key_1,
                static_cast<std::uint32_t>(product_0)}};
    key_0 += 0x9E3779B9u;
    key_1 += 0xBB67AE85u;
  }
  return counter;
}

/// ln u of a normal u > 0: u = 2^exponent (1 + f), 1 + f in [sqrt 1/2, sqrt 2), and
/// ln(1 + f) = f + f^2 (-1/2 + f P(f)), |relative error of the polynomial| < 2^-27.
VITSNNA_HOST_DEVICE float logarithm(float u) {
  const auto bits = __builtin_bit_cast(std::int32_t, u);
  const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3: sqrt 1/2
  const float f = __builtin_bit_cast(float, bits - exponent * 0x00800000) - 1.f;
  const auto e = static_cast<float>(exponent);
  float p = -0x1.38cf20p-4f;
  p = fused(p, f, 0x1.05602ep-3f);
  p = fused(p, f, -0x1.0d81f2p-3f);
  p = fused(p, f, 0x1.22d8f8p-3f);
  p = fused(p, f, -0x1.54728cp-3f);
  p = fused(p, f, 0x1.99a01ep-3f);
  p = fused(p, f, -0x1.000226p-2f);
  p = fused(p, f, 0x1.555554p-2f);
  p = fused(p, f, -.5f);
  // ln 2 in two parts; the lower one is added where it is still small.
  const float low = fused(f * f, p, e * -0x1.05c610p-29f);
  return fused(e, 0x1.62e430p-1f, f + low);
}

struct SineCosine {
  float sine, cosine;
};

/// sin and cos of 2 pi k / 2^24, k < 2^24: the quadrant is taken off exactly, in integers, and
/// |r| <= 1/8 of a turn is left for sin 2 pi r = 2 pi r + r^3 S(r^2), cos 2 pi r = 1 + r^2 C(r^2).
VITSNNA_HOST_DEVICE SineCosine sine_cosine_of_turn(std::uint32_t k) {
  const auto quadrant = static_cast<std::int32_t>((k + (1u << 21)) >> 22);
  const std::int32_t rest = static_cast<std::int32_t>(k) - quadrant * (1 << 22);
  const float r = static_cast<float>(rest) * 0x1p-24f;
  const float r2 = r * r;
  float s = -0x1.2db5a6p+6f;
  s = fused(s, r2, 0x1.465facp+6f);
  s = fused(s, r2, -0x1.4abbbep+5f);
  s = fused(s, r2, -0x1.777a5cp-23f);  // the part of 2 pi below its upper fp32
  const float sine = fused(r, 0x1.921fb6p+2f, r * s);
  float c = 0x1.d4f7eap+5f;
  c = fused(c, r2, -0x1.55b2b6p+6f);
  c = fused(c, r2, 0x1.03c1b0p+6f);
  c = fused(c, r2, -0x1.3bd3ccp+4f);
  const float cosine = fused(c, r2, 1.f);
  const bool odd = (quadrant & 1) != 0;
  const float a = odd ? cosine : sine;
  const float b = odd ? sine : cosine;
  return {(quadrant & 2) != 0 ? -a : a, ((quadrant + 1) & 2) != 0 ? -b : b};
}

struct NormalPair {
  float first, second;
};

/// Box-Muller on two words: u = ((word_a >> 8) + 1) 2^-24, v = (word_b >> 8) 2^-24,
/// sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v).
VITSNNA_HOST_DEVICE NormalPair normal_pair(std::uint32_t word_a, std::uint32_t word_b) {
  const float u = static_cast<float>(static_cast<std::int32_t>((word_a >> 8) + 1u)) * 0x1p-24f;
  const float square = -2.f * logarithm(u);
#if defined(__CUDA_ARCH__)
  const float radius = __fsqrt_rn(square);
#else
  const float radius = __builtin_sqrtf(square);
#endif
  const SineCosine turn = sine_cosine_of_turn(word_b >> 8);
  return {radius * turn.cosine, radius * turn.sine};
}

/// GaussianNoise's deviation, a share of the range of what the noise is added to.
VITSNNA_HOST_DEVICE float deviation_of_range(double level, float minimum, float maximum) {
  return static_cast<float>(level * (static_cast<double>(maximum) - static_cast<double>(minimum)));
}

}  // namespace vitsnna::kernels::random_math
