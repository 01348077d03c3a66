// Position embeddings at another grid than the trained one, and their gradient. SPEC section 1.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// Row 0 (CLS) is copied. The grid is resampled bicubically, A = -0.75, borders clamped, source
/// coordinate (dst + .5) * g / (n + .1) - .5 with g the trained side and n the new one, as the
/// official DINO code does. Equal grids are a copy.
struct ResamplePositionEmbedding {
  index_t embed_dim = 0;
  index_t source_height = 0, source_width = 0;
  index_t grid_height = 0, grid_width = 0;
  const float* source = nullptr;  ///< (1 + source_height * source_width, embed_dim)
  float* output = nullptr;        ///< (1 + grid_height * grid_width, embed_dim)
};
inline const char* op_name(const ResamplePositionEmbedding&) { return "resample_position"; }
inline double flops(const ResamplePositionEmbedding& a) {
  return 32. * static_cast<double>(a.grid_height * a.grid_width * a.embed_dim);
}
inline double bytes(const ResamplePositionEmbedding& a) {
  return 68. * static_cast<double>(a.grid_height * a.grid_width * a.embed_dim);
}

/// source_gradient += (d output / d source)^T output_gradient.
struct ResamplePositionEmbeddingBackward {
  index_t embed_dim = 0;
  index_t source_height = 0, source_width = 0;
  index_t grid_height = 0, grid_width = 0;
  const float* output_gradient = nullptr;  ///< (1 + grid_height * grid_width, embed_dim)
  float* source_gradient = nullptr;        ///< (1 + source_height * source_width, embed_dim)
};
inline const char* op_name(const ResamplePositionEmbeddingBackward&) {
  return "resample_position_backward";
}
inline double flops(const ResamplePositionEmbeddingBackward& a) {
  return 32. * static_cast<double>(a.grid_height * a.grid_width * a.embed_dim);
}
inline double bytes(const ResamplePositionEmbeddingBackward& a) {
  return 68. * static_cast<double>(a.grid_height * a.grid_width * a.embed_dim);
}

}  // namespace vitsnna::kernels
