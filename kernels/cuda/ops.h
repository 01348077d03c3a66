// The CUDA launchers, one an op, each documented by its header in kernels/.
#pragma once

#include "kernels/backend.h"

namespace vitsnna::kernels::cuda {

index_t linear_prepared_bytes(const LinearWeight& weight);
void prepare_linear(Queue& queue, const PrepareLinear& args);
void linear(Queue& queue, const Linear& args);
index_t linear_scratch(const Queue& queue, const Linear& args);
void linear_weight_gradient(Queue& queue, const LinearWeightGradient& args);
index_t linear_weight_gradient_scratch(const Queue& queue, const LinearWeightGradient& args);

void attention_forward(Queue& queue, const AttentionForward& args);
index_t attention_forward_scratch(const Queue& queue, const AttentionForward& args);
void attention_backward(Queue& queue, const AttentionBackward& args);
index_t attention_backward_scratch(const Queue& queue, const AttentionBackward& args);
void attention_probabilities(Queue& queue, const AttentionProbabilities& args);
void attention_gradient(Queue& queue, const AttentionGradient& args);
void relevance_rows(Queue& queue, const RelevanceRows& args);
index_t relevance_rows_scratch(const Queue& queue, const RelevanceRows& args);
void relevance_cls_row(Queue& queue, const RelevanceClsRow& args);
void value_norm(Queue& queue, const ValueNorm& args);
index_t value_norm_scratch(const Queue& queue, const ValueNorm& args);

void layer_norm(Queue& queue, const LayerNorm& args);
void layer_norm_backward(Queue& queue, const LayerNormBackward& args);
index_t layer_norm_backward_scratch(const Queue& queue, const LayerNormBackward& args);
void gelu(Queue& queue, const Gelu& args);

void patchify(Queue& queue, const Patchify& args);
void unpatchify_gradient(Queue& queue, const UnpatchifyGradient& args);
void fill_gaussian(Queue& queue, const FillGaussian& args);
void resample_position_embedding(Queue& queue, const ResamplePositionEmbedding& args);
void resample_position_embedding_backward(Queue& queue,
                                          const ResamplePositionEmbeddingBackward& args);
void assemble_tokens(Queue& queue, const AssembleTokens& args);
void assemble_tokens_backward(Queue& queue, const AssembleTokensBackward& args);
void copy_rows(Queue& queue, const CopyRows& args);

void min_max(Queue& queue, const MinMax& args);
index_t min_max_scratch(const Queue& queue, const MinMax& args);
void resample_normalize(Queue& queue, const ResampleNormalize& args);
index_t resample_normalize_scratch(const Queue& queue, const ResampleNormalize& args);
void render_overlay(Queue& queue, const RenderOverlay& args);
index_t render_overlay_scratch(const Queue& queue, const RenderOverlay& args);
void augment(Queue& queue, const Augment& args);
index_t augment_scratch(const Queue& queue, const Augment& args);

void dino_loss(Queue& queue, const DinoLoss& args);
index_t dino_loss_scratch(const Queue& queue, const DinoLoss& args);
void update_centre(Queue& queue, const UpdateCentre& args);
void bce_with_logits(Queue& queue, const BceWithLogits& args);
void normalize_rows(Queue& queue, const NormalizeRows& args);
void normalize_rows_backward(Queue& queue, const NormalizeRowsBackward& args);
void gradient_norms(Queue& queue, const GradientNorms& args);
index_t gradient_norms_scratch(const Queue& queue, const GradientNorms& args);
void adamw(Queue& queue, const AdamW& args);
void sgd(Queue& queue, const Sgd& args);
void exponential_average(Queue& queue, const ExponentialAverage& args);

}  // namespace vitsnna::kernels::cuda
