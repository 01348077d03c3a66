// bfloat16 as two bytes: the upper half of an IEEE single, rounded to nearest even.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace vitsnna::kernels {

struct bf16 {
  std::uint16_t bits;
};

VITSNNA_HOST_DEVICE float to_float(bf16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}

/// Round to nearest even; NaN stays NaN (quietened), infinity stays infinity.
VITSNNA_HOST_DEVICE bf16 to_bf16(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x0040u)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace vitsnna::kernels
