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
  if (!runs(set)) return nullptr;
#ifdef VITSNNA_X86_VARIANTS
  if (set == InstructionSet::avx2) return &avx2::loops;
  if (set == InstructionSet::avx512) return &avx512::loops;
#endif
  return set == InstructionSet::baseline ? &baseline::loops : nullptr;
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
