// The element loops that gain from wide vectors, compiled once per instruction set and chosen when
// the program starts. Every instruction set gives the same bits: sums run in 16 fixed lanes, and
// products and sums are fused only where the source says so.
#pragma once

#include "kernels/cpu/simd/instruction_set.h"
#include "kernels/random.h"
#include "kernels/types.h"

namespace vitsnna::kernels::cpu {

/// One row of LayerNormBackward. gain_gradient and shift_gradient are this block's partial sums,
/// added to, or both null.
struct LayerNormBackwardRow {
  const float* input = nullptr;
  const float* gain = nullptr;
  float epsilon = 0.f;
  const void* output_gradient = nullptr;
  DType dtype = DType::f32;  ///< of output_gradient
  bool accumulate = false;
  float* input_gradient = nullptr;
  float* gain_gradient = nullptr;
  float* shift_gradient = nullptr;
};

/// A run of one tensor's elements in AdamW's step, with what is the same for all of them.
struct AdamWRun {
  index_t count = 0;
  const float* gradient = nullptr;
  float* parameter = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  float clip_factor = 1.f;
  float beta1 = 0.f, beta2 = 0.f;    ///< shares of the moments that stay
  float rest1 = 0.f, rest2 = 0.f;    ///< 1 - beta
  float keep = 1.f;                  ///< 1 - rate * weight decay
  float step = 0.f;                  ///< rate / (1 - beta1^t)
  float scale = 1.f, epsilon = 0.f;  ///< of sqrt(v): 1 / sqrt(1 - beta2^t)
};

struct RowLoops {
  /// output[i] = sigma * z(sample, first + i), i < count; `extremes` is not read.
  void (*gaussian)(const GaussianNoise& noise, std::uint32_t sample, index_t first, index_t count,
                   float* output);
  void (*layer_norm)(const float* input, const float* gain, const float* shift, float epsilon,
                     index_t columns, void* output, DType output_dtype);
  void (*layer_norm_backward)(const LayerNormBackwardRow& row, index_t columns);
  /// output (+)= factor input, converted; a null input is zeros.
  void (*copy)(const void* input, DType input_dtype, index_t columns, float factor, bool accumulate,
               void* output, DType output_dtype);
  void (*adamw)(const AdamWRun& run);
};

/// The loops of one instruction set, or null where this build or this processor lacks it.
const RowLoops* row_loops(InstructionSet set);
/// The widest loops that this processor runs.
const RowLoops& row_loops();

}  // namespace vitsnna::kernels::cpu
