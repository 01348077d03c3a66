// The hot vector loops of the CPU ops, compiled once per instruction set and chosen at run time.
#pragma once

#include "kernels/linear.h"
#include "kernels/types.h"

namespace vitsnna::kernels::cpu {

/// Score tiles have a multiple of this many columns, so that the loops on them meet whole vectors
/// only. Operands of the caller are never touched beyond their extent.
constexpr index_t tile_padding = 16;

/// What follows the product in one row of a linear layer.
struct EpilogueRow {
  index_t columns = 0;
  const float* product = nullptr;  ///< x W^T
  const float* bias = nullptr;     ///< or null
  Epilogue epilogue = Epilogue::none;
  const float* residual = nullptr;  ///< output = residual + factor value; or null
  float factor = 1.f;
  void* output = nullptr;
  DType output_dtype = DType::f32;
  void* pre_activation = nullptr;  ///< or null
  DType pre_activation_dtype = DType::f32;
  const void* auxiliary = nullptr;  ///< gelu_backward's
  DType auxiliary_dtype = DType::f32;
};

/// A dense tile of scores S, rows x padded.
struct ScoreTile {
  index_t rows = 0;
  index_t padded = 0;  ///< columns, a multiple of tile_padding
  float* scores = nullptr;
};

/// One tile's share of relevance chains; see VectorLoops::relevance_tile.
struct RelevanceTile {
  ScoreTile tile;                   ///< keys x queries
  const float* gradient = nullptr;  ///< G in the same geometry, or null: G = 1
  float scale_log2e = 0.f;
  const float* shift = nullptr;  ///< (padded) minus log2-sum-exp, or null: the tile holds P already
  bool keep_probabilities = false;  ///< write P over S
  index_t chains = 0;
  const float* weights = nullptr;  ///< chain c at weights + c * weight_stride, (padded)
  index_t weight_stride = 0;
  float* sums = nullptr;  ///< chain c at sums + c * sum_stride, (rows)
  index_t sum_stride = 0;
};

struct VectorLoops {
  const char* name;

  /// y = 2^x, x < 128; 0 below -126. Relative error at most 3e-7.
  void (*exp2)(index_t n, const float* x, float* y);
  /// y = gelu(x), error at most 3e-7 max(1, |x|); y = gelu'(x), error at most 1e-6.
  void (*gelu)(index_t n, const float* x, float* y);
  void (*gelu_derivative)(index_t n, const float* x, float* y);

  void (*linear_epilogue)(const EpilogueRow& row);

  /// One step of the online softmax over the first `columns`, per row i, t_ij = scale_log2e S_ij:
  ///   m' = max(m, max_j t), p_ij = 2^(t_ij - m'), correction = 2^(m - m'),
  ///   sum = sum correction + sum_j p_ij, m = m'.
  /// p_ij times keep[j] (padded; null: 1) replaces S, or goes to `rounded` in bf16 unless that is
  /// null. Padding becomes 0.
  void (*softmax_tile)(const ScoreTile& tile, index_t columns, float scale_log2e, const float* keep,
                       float* maximum, float* sum, float* correction, std::uint16_t* rounded);
  /// P_ij = 2^(scale_log2e S_ij + shift_j), in place; also in bf16 unless `rounded` is null.
  void (*probability_tile)(const ScoreTile& tile, float scale_log2e, const float* shift,
                           std::uint16_t* rounded);
  /// dS_ij = P_ij (G_ij - D_j) scale over G, or in bf16 into `rounded` unless that is null.
  void (*score_gradient_tile)(const ScoreTile& gradient, const float* probabilities,
                              const float* row_dot, float scale, std::uint16_t* rounded);
  /// sums_ci += sum_j weight_cj P_ij max(G_ij, 0)
  void (*relevance_tile)(const RelevanceTile& args);

  /// destination = source * factor, each side fp32 or bf16.
  void (*convert)(index_t n, const void* source, DType source_dtype, float factor,
                  void* destination, DType destination_dtype);
  /// destination += source * factor.
  void (*add_scaled)(index_t n, const void* source, DType source_dtype, float factor,
                     float* destination);
  /// sum_k a_k b_k
  float (*dot)(index_t n, const void* a, const void* b, DType dtype);
};

/// The best table that this processor can run.
const VectorLoops& vector_loops();

/// Every table that this processor can run, for tests.
struct VectorLoopTables {
  const VectorLoops* tables[4];
  int count;
};
VectorLoopTables runnable_vector_loops();

namespace simd_baseline {
extern const VectorLoops loops;
}
namespace simd_avx2 {
extern const VectorLoops loops;
}
namespace simd_avx512 {
extern const VectorLoops loops;
}
namespace simd_avx512_bf16 {
extern const VectorLoops loops;
}

}  // namespace vitsnna::kernels::cpu
