// Vectors of floats and the polynomials on them. Included by vector_loops.cpp alone, which is
// compiled per instruction set: everything here has internal linkage, so that no function compiled
// for one processor is ever linked into code for another.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

using vitsnna::kernels::index_t;

#if defined(__AVX512F__)
constexpr index_t lanes = 16;
#elif defined(__AVX2__)
constexpr index_t lanes = 8;
#else
constexpr index_t lanes = 4;
#endif

using Floats = float __attribute__((vector_size(4 * lanes)));
using Ints = std::int32_t __attribute__((vector_size(4 * lanes)));
using Words = std::uint32_t __attribute__((vector_size(4 * lanes)));
using Halves = std::uint16_t __attribute__((vector_size(2 * lanes)));

#define VITSNNA_INLINE static inline __attribute__((always_inline))

VITSNNA_INLINE Floats splat(float value) { return Floats{} + value; }

template <class To, class From>
VITSNNA_INLINE To bits_of(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

/// The larger and the smaller; b where either is NaN, as the processor's instructions have it.
VITSNNA_INLINE Floats maximum(Floats a, Floats b) {
#if defined(__AVX512F__)
  // (the plain intrinsic's header trips GCC 12's warning of uninitialised variables)
  return bits_of<Floats>(_mm512_maskz_max_ps(0xffff, bits_of<__m512>(a), bits_of<__m512>(b)));
#elif defined(__AVX2__)
  return bits_of<Floats>(_mm256_max_ps(bits_of<__m256>(a), bits_of<__m256>(b)));
#else
  return a > b ? a : b;
#endif
}
VITSNNA_INLINE Floats minimum(Floats a, Floats b) {
#if defined(__AVX512F__)
  return bits_of<Floats>(_mm512_maskz_min_ps(0xffff, bits_of<__m512>(a), bits_of<__m512>(b)));
#elif defined(__AVX2__)
  return bits_of<Floats>(_mm256_min_ps(bits_of<__m256>(a), bits_of<__m256>(b)));
#else
  return a < b ? a : b;
#endif
}

/// a / b for b of ordinary size: AVX-512 refines a 14-bit reciprocal, a third of a division's time.
VITSNNA_INLINE Floats quotient(Floats a, Floats b) {
#if defined(__AVX512F__)
  const Floats r = bits_of<Floats>(_mm512_maskz_rcp14_ps(0xffff, bits_of<__m512>(b)));
  return a * (r + r * (1.f - b * r));
#else
  return a / b;
#endif
}

VITSNNA_INLINE Ints lane_numbers() {
  Ints result{};
  for (index_t lane = 0; lane < lanes; ++lane) result[lane] = static_cast<std::int32_t>(lane);
  return result;
}

/// Folds a vector's upper half onto its lower half until one lane is left: always the same order.
template <index_t Lanes, class Fold>
VITSNNA_INLINE float fold_lanes(const float* parts, const Fold& fold) {
  if constexpr (Lanes == 1) {
    return parts[0];
  } else {
    float folded[Lanes / 2];
    for (index_t lane = 0; lane < Lanes / 2; ++lane) {
      folded[lane] = fold(parts[lane], parts[lane + Lanes / 2]);
    }
    return fold_lanes<Lanes / 2>(folded, fold);
  }
}
VITSNNA_INLINE float sum_of(Floats value) {
  float parts[lanes];
  std::memcpy(parts, &value, sizeof parts);
  return fold_lanes<lanes>(parts, [](float a, float b) { return a + b; });
}
VITSNNA_INLINE float maximum_of(Floats value) {
  float parts[lanes];
  std::memcpy(parts, &value, sizeof parts);
  return fold_lanes<lanes>(parts, [](float a, float b) { return a > b ? a : b; });
}

VITSNNA_INLINE Floats load(const float* from) {
  Floats result;
  std::memcpy(&result, from, sizeof result);
  return result;
}
VITSNNA_INLINE void store(float* to, Floats value) { std::memcpy(to, &value, sizeof value); }

VITSNNA_INLINE Floats widen(Halves value) {
  return bits_of<Floats>(__builtin_convertvector(value, Words) << 16);
}
/// Round to nearest even; NaN stays NaN.
VITSNNA_INLINE Halves narrow(Floats value) {
  const Words bits = bits_of<Words>(value);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words quiet = (bits >> 16) | 0x0040u;
  return __builtin_convertvector(value == value ? rounded : quiet, Halves);
}

/// The same, but subnormals may become 0: for tiles and results rather than plain conversions.
VITSNNA_INLINE Halves narrow_result(Floats value) {
#if defined(__AVX512BF16__)
  return bits_of<Halves>(_mm512_cvtneps_pbh(bits_of<__m512>(value)));
#else
  const Words bits = bits_of<Words>(value);
  return __builtin_convertvector((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, Halves);
#endif
}

VITSNNA_INLINE Floats load(const std::uint16_t* from) {
  Halves result;
  std::memcpy(&result, from, sizeof result);
  return widen(result);
}
VITSNNA_INLINE void store(std::uint16_t* to, Floats value) {
  const Halves narrowed = narrow(value);
  std::memcpy(to, &narrowed, sizeof narrowed);
}

VITSNNA_INLINE void store_result(std::uint16_t* to, Floats value) {
  const Halves narrowed = narrow_result(value);
  std::memcpy(to, &narrowed, sizeof narrowed);
}

/// The first `count` elements, the rest 0.
template <class Element>
VITSNNA_INLINE Floats load_part(const Element* from, index_t count) {
  Element parts[lanes] = {};
  for (index_t lane = 0; lane < count; ++lane) parts[lane] = from[lane];
  return load(parts);
}
template <class Element>
VITSNNA_INLINE void store_part(Element* to, Floats value, index_t count) {
  Element parts[lanes];
  store(parts, value);
  for (index_t lane = 0; lane < count; ++lane) to[lane] = parts[lane];
}

/// 2^x for x < 128, 0 below -126. x = n + f with n the nearest integer; 2^f, |f| <= 1/2, is a
/// minimax polynomial (relative error 9.2e-8); n goes into the exponent.
VITSNNA_INLINE Floats power_of_two(Floats x) {
#if defined(__AVX512F__)
  const Floats f = bits_of<Floats>(_mm512_reduce_ps(bits_of<__m512>(x), 0));
  const Floats n = x - f;
#else
  const Floats shifter = splat(12582912.f);  // 1.5 2^23: n lands in the sum's low bits
  const Floats shifted = x + shifter;
  const Floats f = x - (shifted - shifter);
#endif
  Floats p = splat(0x1.5bba14p-10f);
  p = p * f + 0x1.3cea88p-7f;
  p = p * f + 0x1.c6b752p-5f;
  p = p * f + 0x1.ebf9bcp-3f;
  p = p * f + 0x1.62e42ap-1f;
  p = p * f + 1.f;
#if defined(__AVX512F__)
  const __mmask16 normal =
      _mm512_cmp_ps_mask(bits_of<__m512>(x), _mm512_set1_ps(-126.f), _CMP_NLT_UQ);
  return bits_of<Floats>(_mm512_maskz_scalef_ps(normal, bits_of<__m512>(p), bits_of<__m512>(n)));
#else
  const Floats scaled = bits_of<Floats>(bits_of<Words>(p) + (bits_of<Words>(shifted) << 23));
  return x < -126.f ? Floats{} : scaled;
#endif
}

/// e^(-t^2 / 2), 0 below 2^-126.
VITSNNA_INLINE Floats bell(Floats t) {
  return power_of_two(maximum(t * t * -0.72134752f, splat(-127.f)));
}

/// The normal distribution's Phi(t), given e^(-t^2 / 2). With a = |t| / sqrt 2, q = 1 / (1 + .4 a):
/// Phi(-|t|) = erfc(a) / 2 = e^(-a^2) q P(q) / 2, |relative error of P| < 2^-26.
VITSNNA_INLINE Floats normal_distribution(Floats t, Floats bell_of_t) {
  // Beyond 64 the bell is 0 whatever q is.
  const Floats magnitude = minimum(maximum(t, -t), splat(64.f));
  const Floats q = quotient(splat(1.f), 1.f + 0x1.21a186p-2f * magnitude);
  Floats p = splat(-0x1.e4da28p-6f);
  p = p * q + 0x1.958444p-3f;
  p = p * q + -0x1.fec42cp-2f;
  p = p * q + 0x1.1846aap-1f;
  p = p * q + -0x1.232c76p-2f;
  p = p * q + 0x1.169620p-2f;
  p = p * q + 0x1.09971ap-3f;
  p = p * q + 0x1.b82728p-3f;
  p = p * q + 0x1.ccb3b0p-3f;
  p = p * q + 0x1.ce3f6cp-3f;
  const Floats tail = .5f * (p * q) * bell_of_t;
  return t < 0.f ? tail : 1.f - tail;
}

/// gelu(t) = t Phi(t) = t (1 + erf(t / sqrt 2)) / 2
VITSNNA_INLINE Floats gelu_of(Floats t) { return t * normal_distribution(t, bell(t)); }

/// gelu'(t) = Phi(t) + t e^(-t^2 / 2) / sqrt(2 pi)
VITSNNA_INLINE Floats gelu_derivative_of(Floats t) {
  const Floats density = bell(t);
  return normal_distribution(t, density) + t * density * 0.39894228f;
}

}  // namespace
