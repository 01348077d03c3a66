// Gaussian noise written out: the form in which initialisation and tests want it.
#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/row_loops.h"

namespace vitsnna::kernels::cpu {

void fill_gaussian(Queue& queue, const FillGaussian& a) {
  constexpr index_t elements_per_task = 16384;
  const RowLoops& loops = row_loops();
  const GaussianNoise noise = settled(a.noise);
  for_row_blocks(queue, a.samples, a.elements, elements_per_task,
                 [&](index_t sample, index_t first, index_t end, int) {
                   loops.gaussian(noise, noise.first_sample + static_cast<std::uint32_t>(sample),
                                  first, end - first, a.output + sample * a.elements + first);
                 });
}

}  // namespace vitsnna::kernels::cpu
