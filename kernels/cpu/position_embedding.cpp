// The position embedding at another grid, bicubically, and its transpose. SPEC section 1.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"

namespace vitsnna::kernels::cpu {
namespace {

/// The four source rows (or columns) of one new row, clamped to the border, and their weights.
struct Taps {
  index_t index[4];
  float weight[4];
};

/// Cubic convolution with A = -3/4 at source coordinate (destination + 1/2) g / (n + 0.1) - 1/2.
Taps taps(index_t destination, index_t source_side, index_t side) {
  const double scale = static_cast<double>(source_side) / (static_cast<double>(side) + .1);
  const double coordinate = (static_cast<double>(destination) + .5) * scale - .5;
  const double below = std::floor(coordinate);
  const double t = coordinate - below;
  constexpr double A = -.75;
  const auto near = [](double x) { return ((A + 2.) * x - (A + 3.)) * x * x + 1.; };
  const auto far = [](double x) { return ((A * x - 5. * A) * x + 8. * A) * x - 4. * A; };
  const double weight[4] = {far(t + 1.), near(t), near(1. - t), far(2. - t)};
  Taps result;
  for (index_t k = 0; k < 4; ++k) {
    result.index[k] = std::clamp<index_t>(static_cast<index_t>(below) - 1 + k, 0, source_side - 1);
    result.weight[k] = static_cast<float>(weight[k]);
  }
  return result;
}

}  // namespace

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
