// The hot vector loops of the CPU ops, compiled once per instruction set and chosen at run time.
#pragma once

#include "kernels/linear.h"
#include "kernels/types.h"

namespace vitsnna::kernels::cpu {

/// Rows of scratch tiles are padded to this many floats: the loops read and write whole vectors
/// there. Operands of the caller are never touched beyond their extent.
constexpr index_t tile_padding = 16;

/// What follows the product in one row of a linear layer.
struct EpilogueRow {
  index_t columns = 0;
  const float* product = nullptr;  ///< x W^T
  const float* bias = nullptr;     ///< or null
  Epilogue epilogue = Epilogue::none;
  bool accumulate = false;  ///< output (fp32) += instead of =
  void* output = nullptr;
  DType output_dtype = DType::f32;
  void* pre_activation = nullptr;  ///< or null
  DType pre_activation_dtype = DType::f32;
  const void* auxiliary = nullptr;  ///< gelu_backward's
  DType auxiliary_dtype = DType::f32;
};

/// Scores S of one tile, in place: padded rows, of which `columns` count.
struct ScoreTile {
  index_t rows = 0;
  index_t columns = 0;
  float* scores = nullptr;
  index_t stride = 0;  ///< multiple of tile_padding
};

struct VectorLoops {
  const char* name;

  /// y = 2^x, x < 128; 0 below -126. Relative error at most 3e-7.
  void (*exp2)(index_t n, const float* x, float* y);
  /// y = gelu(x), error at most 3e-7 max(1, |x|); y = gelu'(x), error at most 1e-6.
  void (*gelu)(index_t n, const float* x, float* y);
  void (*gelu_derivative)(index_t n, const float* x, float* y);

  void (*linear_epilogue)(const EpilogueRow& row);

  /// One step of the online softmax, per row i with t_ij = scale_log2e S_ij:
  ///   m' = max(m, max_j t), p_ij = 2^(t_ij - m'), correction = 2^(m - m'),
  ///   sum = sum correction + sum_j p_ij, m = m'.
  /// p_ij times keep[j] (padded like a tile row; null: 1) replaces S (f32) or goes to
  /// `probabilities` in bf16, same stride. Padding columns become 0.
  void (*softmax_tile)(const ScoreTile& tile, float scale_log2e, const float* keep, float* maximum,
                       float* sum, float* correction, std::uint16_t* probabilities);
  /// P_ij = 2^(scale_log2e S_ij - log2_sum_exp_i), in place; also in bf16 unless null.
  void (*probability_tile)(const ScoreTile& tile, float scale_log2e, const float* log2_sum_exp,
                           std::uint16_t* probabilities);
  /// dS_ij = P_ij (G_ij - D_i) scale into G's place, or in bf16 into `rounded` unless null.
  void (*score_gradient_tile)(const ScoreTile& gradient, const float* probabilities,
                              const float* row_dot, float scale, std::uint16_t* rounded);
  /// column_j += sum_i weight_i P_ij max(G_ij, 0); G null: sum_i weight_i P_ij.
  void (*relevance_columns)(const ScoreTile& probability, const float* gradient,
                            const float* weight, float* column);

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
  const VectorLoops* tables[3];
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

}  // namespace vitsnna::kernels::cpu
