// The table through which the engine reaches a device: memory, and one entry per op. A new backend
// is one folder that fills one such table.
#pragma once

#include <memory>
#include <string_view>

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/augment.h"
#include "kernels/layer_norm.h"
#include "kernels/linear.h"
#include "kernels/loss.h"
#include "kernels/normalize.h"
#include "kernels/op.h"
#include "kernels/optimizer.h"
#include "kernels/patchify.h"
#include "kernels/position_embedding.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/relevance.h"
#include "kernels/render.h"
#include "kernels/resample.h"
#include "kernels/tokens.h"
#include "kernels/value_norm.h"

namespace vitsnna::kernels {

/// Work of a queue kept for replay: a backend derives its own.
class Graph {
 public:
  Graph() = default;
  virtual ~Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
};

struct Backend {
  std::string_view name;  ///< "cpu", "cuda"

  /// Makes the queue's stream and context (library handles, workspace, caches) on GPU `device`, and
  /// ends them. Null where a queue needs neither. close() waits for nothing: synchronize() first.
  void (*open)(Queue&, int device) = nullptr;
  void (*close)(Queue&) noexcept = nullptr;

  /// Device memory, 64-byte aligned (256 on CUDA); throws Error naming the bytes wanted.
  void* (*allocate)(index_t bytes) = nullptr;
  void (*deallocate)(void* memory, index_t bytes) noexcept = nullptr;
  /// Copies, ordered on the queue; the host side may be reused after synchronize().
  void (*copy_to_device)(Queue&, void* device, const void* host, index_t bytes) = nullptr;
  void (*copy_to_host)(Queue&, void* host, const void* device, index_t bytes) = nullptr;
  void (*fill_zero)(Queue&, void* device, index_t bytes) = nullptr;
  void (*synchronize)(Queue&) = nullptr;
  /// Host memory that the device copies to and from without staging. Null: any memory is.
  void* (*allocate_pinned)(index_t bytes) = nullptr;
  void (*deallocate_pinned)(void* memory, index_t bytes) noexcept = nullptr;
  /// Bytes that allocate() could still give out, and all there are. Null: ask the system.
  void (*memory_info)(index_t& free_bytes, index_t& total_bytes) = nullptr;

  /// Between the first two, what is put on the queue is kept instead of run (so nothing may be
  /// synchronised or allocated there); launch_graph runs all of it, on the same memory. A capture
  /// that fails is still ended by end_capture, which then throws. Null: no graphs here.
  void (*begin_capture)(Queue&) = nullptr;
  std::unique_ptr<Graph> (*end_capture)(Queue&) = nullptr;
  void (*launch_graph)(Queue&, const Graph&) = nullptr;

  /// Whether products in bf16 are offered (and fast) here.
  bool (*supports)(DType dtype) = nullptr;
  /// Bytes that PrepareLinear writes for a weight; 0: the master is used directly.
  index_t (*linear_prepared_bytes)(const LinearWeight& weight) = nullptr;
  /// Whether what it writes is the same for LinearWeight::transposed, so that one copy does.
  bool prepared_serves_both_ways = false;

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
  Op<MinMax> min_max;
  Op<ResampleNormalize> resample_normalize;
  Op<RenderOverlay> render_overlay;
  Op<Augment> augment;
  // Training.
  Op<DinoLoss> dino_loss;
  Op<UpdateCentre> update_centre;
  Op<BceWithLogits> bce_with_logits;
  Op<NormalizeRows> normalize_rows;
  Op<NormalizeRowsBackward> normalize_rows_backward;
  Op<GradientNorms> gradient_norms;
  Op<AdamW> adamw;
  Op<Sgd> sgd;
  Op<ExponentialAverage> exponential_average;
};

/// The CPU's table (kernels/cpu).
const Backend& cpu_backend();

}  // namespace vitsnna::kernels
