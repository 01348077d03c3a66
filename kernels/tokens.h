// Assembling a token sequence from patch embeddings, and its gradient.
#pragma once

#include "kernels/row_factors.h"
#include "kernels/types.h"

namespace vitsnna::kernels {

/// In place on tokens (items, 1 + num_patches, embed_dim) fp32, whose rows 1.. hold the patch
/// embeddings: row 0 = cls_token + position[0]; row 1 + j = keep_ij * row + position[1 + j].
/// keep 0 is the `token` mask of SPEC section 3.
struct AssembleTokens {
  index_t items = 1;
  index_t num_patches = 0;
  index_t embed_dim = 0;
  float* tokens = nullptr;
  const float* cls_token = nullptr;           ///< (embed_dim)
  const float* position = nullptr;            ///< (1 + num_patches, embed_dim)
  const std::uint8_t* patch_keep = nullptr;   ///< (items, num_patches) of 0 or 1, or null
};
inline const char* op_name(const AssembleTokens&) { return "assemble_tokens"; }
inline double flops(const AssembleTokens& a) {
  return static_cast<double>(a.items * (a.num_patches + 1) * a.embed_dim);
}
inline double bytes(const AssembleTokens& a) { return 12. * flops(a); }

/// cls_gradient += sum_i gradient[i, 0]; position_gradient[j] += sum_i gradient[i, j]. Either may
/// be null.
struct AssembleTokensBackward {
  index_t items = 1;
  index_t num_patches = 0;
  index_t embed_dim = 0;
  const float* tokens_gradient = nullptr;  ///< (items, 1 + num_patches, embed_dim)
  float* cls_gradient = nullptr;           ///< (embed_dim)
  float* position_gradient = nullptr;      ///< (1 + num_patches, embed_dim)
};
inline const char* op_name(const AssembleTokensBackward&) { return "assemble_tokens_backward"; }
inline double flops(const AssembleTokensBackward& a) {
  return 2. * static_cast<double>(a.items * (a.num_patches + 1) * a.embed_dim);
}
inline double bytes(const AssembleTokensBackward& a) { return 6. * flops(a); }

/// destination (+)= factor source, element by element, converting between fp32 and bf16; a null
/// source is zeros. Extents (items, rows, columns); item strides may be 0 on the source to
/// broadcast it.
struct CopyRows {
  index_t items = 1;
  index_t rows = 0;
  index_t columns = 0;
  ConstMatrix source;
  Matrix destination;
  bool accumulate = false;
  RowFactors factors;  ///< by destination row
};
inline const char* op_name(const CopyRows&) { return "copy_rows"; }
inline double flops(const CopyRows& a) {
  return a.accumulate ? static_cast<double>(a.items * a.rows * a.columns) : 0.;
}
inline double bytes(const CopyRows& a) {
  return static_cast<double>(a.items * a.rows * a.columns *
                             (size_of(a.source.dtype) + size_of(a.destination.dtype)));
}

}  // namespace vitsnna::kernels
