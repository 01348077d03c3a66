// Chooses among the compiled variants of the row loops.
#include "kernels/cpu/simd/row_loops.h"

namespace vitsnna::kernels::cpu {

namespace baseline {
extern const RowLoops loops;
}
#ifdef VITSNNA_X86_VARIANTS
namespace avx2 {
extern const RowLoops loops;
}
namespace avx512 {
extern const RowLoops loops;
}
#endif

const RowLoops* row_loops(InstructionSet set) {
  if (set == InstructionSet::baseline) return &baseline::loops;
#ifdef VITSNNA_X86_VARIANTS
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (set == InstructionSet::avx2) return has_avx2 ? &avx2::loops : nullptr;
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx512) return &avx512::loops;
#endif
  return nullptr;
}

const RowLoops& row_loops() {
  static const RowLoops& widest = []() -> const RowLoops& {
    for (const InstructionSet set : {InstructionSet::avx512, InstructionSet::avx2}) {
      if (const RowLoops* loops = row_loops(set)) return *loops;
    }
    return baseline::loops;
  }();
  return widest;
}

}  // namespace vitsnna::kernels::cpu
