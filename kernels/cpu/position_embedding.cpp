// The position embedding at another grid, bicubically, and its transpose. SPEC section 1.
#include <algorithm>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/position_math.h"

namespace vitsnna::kernels::cpu {
using position_math::Taps;
using position_math::taps;

void resample_position_embedding(Queue& queue, const ResamplePositionEmbedding& a) {
  const index_t width = a.embed_dim;
  std::copy_n(a.source, width, a.output);
  const float* source = a.source + width;
  float* output = a.output + width;
  if (a.source_height == a.grid_height && a.source_width == a.grid_width) {
    std::copy_n(source, a.grid_height * a.grid_width * width, output);
    return;
  }
  parallel_for(queue, a.grid_height, [&](index_t y, int) {
    const Taps rows = taps(y, a.source_height, a.grid_height);
    for (index_t x = 0; x < a.grid_width; ++x) {
      const Taps columns = taps(x, a.source_width, a.grid_width);
      float* cell = output + (y * a.grid_width + x) * width;
      std::fill_n(cell, width, 0.f);
      for (index_t i = 0; i < 4; ++i) {
        for (index_t j = 0; j < 4; ++j) {
          const float weight = rows.weight[i] * columns.weight[j];
          const float* from = source + (rows.index[i] * a.source_width + columns.index[j]) * width;
          for (index_t c = 0; c < width; ++c) cell[c] += weight * from[c];
        }
      }
    }
  });
}

/// A task owns a band of channels and scatters every cell into it in one order, so threads never
/// meet and the bits are fixed.
void resample_position_embedding_backward(Queue& queue,
                                          const ResamplePositionEmbeddingBackward& a) {
  constexpr index_t band = 32;
  const index_t width = a.embed_dim;
  const bool copy = a.source_height == a.grid_height && a.source_width == a.grid_width;
  parallel_for(queue, ceil_div(width, band), [&](index_t task, int) {
    const index_t first = task * band;
    const index_t end = std::min(width, first + band);
    for (index_t c = first; c < end; ++c) a.source_gradient[c] += a.output_gradient[c];
    float* to = a.source_gradient + width;
    const float* from = a.output_gradient + width;
    for (index_t y = 0; y < a.grid_height; ++y) {
      const Taps rows = taps(y, a.source_height, a.grid_height);
      for (index_t x = 0; x < a.grid_width; ++x) {
        const float* cell = from + (y * a.grid_width + x) * width;
        if (copy) {
          float* target = to + (y * a.grid_width + x) * width;
          for (index_t c = first; c < end; ++c) target[c] += cell[c];
          continue;
        }
        const Taps columns = taps(x, a.source_width, a.grid_width);
        for (index_t i = 0; i < 4; ++i) {
          for (index_t j = 0; j < 4; ++j) {
            const float weight = rows.weight[i] * columns.weight[j];
            float* target = to + (rows.index[i] * a.source_width + columns.index[j]) * width;
            for (index_t c = first; c < end; ++c) target[c] += weight * cell[c];
          }
        }
      }
    }
  });
}

}  // namespace vitsnna::kernels::cpu
