// The CPU implementation of each op; kernels/cpu/backend.cpp puts them into the table.
#pragma once

#include "kernels/backend.h"

namespace vitsnna::kernels::cpu {

void prepare_linear(Queue&, const PrepareLinear&);
index_t linear_prepared_bytes(const LinearWeight&);
void linear(Queue&, const Linear&);
index_t linear_scratch(const Queue&, const Linear&);
void linear_weight_gradient(Queue&, const LinearWeightGradient&);
index_t linear_weight_gradient_scratch(const Queue&, const LinearWeightGradient&);

void attention_forward(Queue&, const AttentionForward&);
index_t attention_forward_scratch(const Queue&, const AttentionForward&);
void attention_backward(Queue&, const AttentionBackward&);
index_t attention_backward_scratch(const Queue&, const AttentionBackward&);
void attention_probabilities(Queue&, const AttentionProbabilities&);
index_t attention_probabilities_scratch(const Queue&, const AttentionProbabilities&);
void attention_gradient(Queue&, const AttentionGradient&);
index_t attention_gradient_scratch(const Queue&, const AttentionGradient&);
void relevance_rows(Queue&, const RelevanceRows&);
index_t relevance_rows_scratch(const Queue&, const RelevanceRows&);
void relevance_cls_row(Queue&, const RelevanceClsRow&);

void value_norm(Queue&, const ValueNorm&);
index_t value_norm_scratch(const Queue&, const ValueNorm&);
void layer_norm(Queue&, const LayerNorm&);
void layer_norm_backward(Queue&, const LayerNormBackward&);
index_t layer_norm_backward_scratch(const Queue&, const LayerNormBackward&);
void gelu(Queue&, const Gelu&);
void patchify(Queue&, const Patchify&);
void unpatchify_gradient(Queue&, const UnpatchifyGradient&);
void fill_gaussian(Queue&, const FillGaussian&);
void resample_position_embedding(Queue&, const ResamplePositionEmbedding&);
void resample_position_embedding_backward(Queue&, const ResamplePositionEmbeddingBackward&);
void assemble_tokens(Queue&, const AssembleTokens&);
void assemble_tokens_backward(Queue&, const AssembleTokensBackward&);
void copy_rows(Queue&, const CopyRows&);
void min_max(Queue&, const MinMax&);
index_t min_max_scratch(const Queue&, const MinMax&);
void resample_normalize(Queue&, const ResampleNormalize&);
index_t resample_normalize_scratch(const Queue&, const ResampleNormalize&);
void render_overlay(Queue&, const RenderOverlay&);
void augment(Queue&, const Augment&);
index_t augment_scratch(const Queue&, const Augment&);

void dino_loss(Queue&, const DinoLoss&);
index_t dino_loss_scratch(const Queue&, const DinoLoss&);
void update_centre(Queue&, const UpdateCentre&);
void bce_with_logits(Queue&, const BceWithLogits&);
void normalize_rows(Queue&, const NormalizeRows&);
void normalize_rows_backward(Queue&, const NormalizeRowsBackward&);
void gradient_norms(Queue&, const GradientNorms&);
index_t gradient_norms_scratch(const Queue&, const GradientNorms&);
void adamw(Queue&, const AdamW&);
void sgd(Queue&, const Sgd&);
void exponential_average(Queue&, const ExponentialAverage&);

}  // namespace vitsnna::kernels::cpu
