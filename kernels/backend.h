// The table through which the engine reaches a device: memory, and one entry per op. A new backend
// is one folder that fills one such table.
#pragma once

#include <string_view>

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/layer_norm.h"
#include "kernels/linear.h"
#include "kernels/op.h"
#include "kernels/patchify.h"
#include "kernels/position_embedding.h"
#include "kernels/random.h"
#include "kernels/relevance.h"
#include "kernels/render.h"
#include "kernels/resample.h"
#include "kernels/tokens.h"
#include "kernels/value_norm.h"

namespace vitsnna::kernels {

struct Backend {
  std::string_view name;  ///< "cpu", "cuda"

  /// Device memory, 64-byte aligned (256 on CUDA); throws Error naming the bytes wanted.
  void* (*allocate)(index_t bytes) = nullptr;
  void (*deallocate)(void* memory, index_t bytes) noexcept = nullptr;
  /// Copies, ordered on the queue; the host side may be reused after synchronize().
  void (*copy_to_device)(Queue&, void* device, const void* host, index_t bytes) = nullptr;
  void (*copy_to_host)(Queue&, void* host, const void* device, index_t bytes) = nullptr;
  void (*fill_zero)(Queue&, void* device, index_t bytes) = nullptr;
  void (*synchronize)(Queue&) = nullptr;
  /// Whether products in bf16 are offered (and fast) here.
  bool (*supports)(DType dtype) = nullptr;
  /// Bytes that PrepareLinear writes for a weight; 0: the master is used directly.
  index_t (*linear_prepared_bytes)(const LinearWeight& weight) = nullptr;

  Op<PrepareLinear> prepare_linear;
  Op<Linear> linear;
  Op<LinearWeightGradient> linear_weight_gradient;
  Op<AttentionForward> attention_forward;
  Op<AttentionBackward> attention_backward;
  Op<AttentionProbabilities> attention_probabilities;
  Op<AttentionGradient> attention_gradient;
  Op<RelevanceRows> relevance_rows;
  Op<RelevanceClsRow> relevance_cls_row;
  Op<ValueNorm> value_norm;
  Op<LayerNorm> layer_norm;
  Op<LayerNormBackward> layer_norm_backward;
  Op<Gelu> gelu;
  Op<Patchify> patchify;
  Op<UnpatchifyGradient> unpatchify_gradient;
  Op<FillGaussian> fill_gaussian;
  Op<ResamplePositionEmbedding> resample_position_embedding;
  Op<ResamplePositionEmbeddingBackward> resample_position_embedding_backward;
  Op<AssembleTokens> assemble_tokens;
  Op<AssembleTokensBackward> assemble_tokens_backward;
  Op<CopyRows> copy_rows;
  Op<ResampleNormalize> resample_normalize;
  Op<RenderOverlay> render_overlay;
};

/// The CPU's table (kernels/cpu).
const Backend& cpu_backend();

}  // namespace vitsnna::kernels
