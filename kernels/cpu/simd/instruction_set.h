// The instruction sets that loops are compiled for, and which of them run here.
#pragma once

#include <cstdint>

namespace vitsnna::kernels::cpu {

/// Each includes those before it.
enum class InstructionSet : std::uint8_t { baseline, avx2, avx512, avx512_bf16 };

/// Whether this build has loops for `set` and this processor can run them.
bool runs(InstructionSet set);

}  // namespace vitsnna::kernels::cpu
