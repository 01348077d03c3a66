// The one place that asks the processor what it can do for our own loops (oneDNN asks for itself).
#include "kernels/cpu/simd/instruction_set.h"

namespace vitsnna::kernels::cpu {

bool runs(InstructionSet set) {
#ifdef VITSNNA_X86_VARIANTS
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  switch (set) {
    case InstructionSet::baseline:
      return true;
    case InstructionSet::avx2:
      return avx2;
    case InstructionSet::avx512:
      return avx512;
    case InstructionSet::avx512_bf16:
      return avx512 && __builtin_cpu_supports("avx512bf16");
  }
#endif
  return set == InstructionSet::baseline;
}

}  // namespace vitsnna::kernels::cpu
