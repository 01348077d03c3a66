// What a device reaches in this run, for programs that show their share of it.
#pragma once

#include <array>

#include "engine/queue.h"

namespace vitsnna::bench {

/// FLOP/s of large products in fp32 and in bf16 (the index is kernels::DType).
std::array<double, 2> peaks_of(engine::Queue& queue);

/// Bytes that the device has given out, to all its users; 0 where it does not say.
double used_bytes(engine::Queue& queue);

}  // namespace vitsnna::bench
