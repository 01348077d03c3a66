// Launches of the ops that add to parameter gradients.
#include "model/weight_gradients.h"

namespace vitsnna::model {

void WeightGradients::linear(index_t items, index_t rows, kernels::ConstMatrix input,
                             kernels::ConstMatrix output_gradient, const LinearLayer& layer) const {
  if (!wanted()) return;
  kernels::LinearWeightGradient gradient;
  gradient.items = items;
  gradient.rows = rows;
  gradient.out_features = layer.forward.out_features;
  gradient.in_features = layer.forward.in_features;
  gradient.input = input;
  gradient.output_gradient = output_gradient;
  gradient.weight_gradient = of(layer.forward.master);
  gradient.bias_gradient = of(layer.bias);
  layers_.ops.linear_weight_gradient(layers_.queue.raw(), gradient);
}

void WeightGradients::embedding(const GridEmbedding& grid, index_t items,
                                const Tensor& tokens_gradient) const {
  if (!wanted()) return;
  const engine::ArenaScope scope(layers_.arena);
  const VitConfig& config = layers_.config;
  const Tensor position = layers_.allocate_f32({grid.tokens(), config.embed_dim});
  layers_.queue.zero(position.data, position.bytes());
  kernels::AssembleTokensBackward assemble;
  assemble.items = items;
  assemble.num_patches = grid.tokens() - 1;
  assemble.embed_dim = config.embed_dim;
  assemble.tokens_gradient = tokens_gradient.f32();
  assemble.cls_gradient = of(layers_.vit.weights().cls_token);
  assemble.position_gradient = position.f32();
  layers_.ops.assemble_tokens_backward(layers_.queue.raw(), assemble);
  kernels::ResamplePositionEmbeddingBackward resample;
  resample.embed_dim = config.embed_dim;
  resample.source_height = config.trained_grid_height;
  resample.source_width = config.trained_grid_width;
  resample.grid_height = grid.height;
  resample.grid_width = grid.width;
  resample.output_gradient = position.f32();
  resample.source_gradient = of(layers_.vit.weights().position_embedding);
  layers_.ops.resample_position_embedding_backward(layers_.queue.raw(), resample);
}

}  // namespace vitsnna::model
