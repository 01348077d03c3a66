// Chooses the vector loops for the processor at hand.
#include "kernels/cpu/simd/instruction_set.h"
#include "kernels/cpu/simd/vector_loops.h"

namespace vitsnna::kernels::cpu {

VectorLoopTables runnable_vector_loops() {
  VectorLoopTables result{{&simd_baseline::loops}, 1};
#ifdef VITSNNA_X86_VARIANTS
  if (runs(InstructionSet::avx2)) result.tables[result.count++] = &simd_avx2::loops;
  if (runs(InstructionSet::avx512)) result.tables[result.count++] = &simd_avx512::loops;
  if (runs(InstructionSet::avx512_bf16)) result.tables[result.count++] = &simd_avx512_bf16::loops;
#endif
  return result;
}

const VectorLoops& vector_loops() {
  static const VectorLoops& best = []() -> const VectorLoops& {
    const auto runnable = runnable_vector_loops();
    return *runnable.tables[runnable.count - 1];
  }();
  return best;
}

}  // namespace vitsnna::kernels::cpu
