#include "model/backward_layers.h"

namespace vitsnna::model {

void BackwardLayers::linear(index_t items, index_t rows, kernels::ConstMatrix output_gradient,
                            const LinearLayer& layer, kernels::Matrix input_gradient,
                            const Tensor& pre_activation, bool accumulate) const {
  kernels::Linear linear;
  linear.items = items;
  linear.rows = rows;
  linear.input = output_gradient;
  linear.weight = layer.backward;
  linear.output = input_gradient;
  if (accumulate) linear.residual = input_gradient;
  if (pre_activation) {
    linear.epilogue = kernels::Epilogue::gelu_backward;
    linear.auxiliary = pre_activation.matrix();
    linear.auxiliary_items = pre_activation.shape[0];
  }
  layers.ops.linear(layers.queue.raw(), linear);
}

void BackwardLayers::layer_norm(index_t items, index_t rows, kernels::ConstMatrix input,
                                index_t input_items, const NormLayer& norm,
                                kernels::ConstMatrix output_gradient,
                                kernels::Matrix input_gradient, bool accumulate) const {
  kernels::LayerNormBackward backward;
  backward.items = items;
  backward.input_items = input_items;
  backward.rows = rows;
  backward.columns = layers.config.embed_dim;
  backward.input = input;
  backward.gain = norm.gain;
  backward.epsilon = layers.config.layer_norm_epsilon;
  backward.output_gradient = output_gradient;
  backward.accumulate = accumulate;
  backward.input_gradient = input_gradient;
  backward.gain_gradient = weight_gradients.of(norm.gain);
  backward.shift_gradient = weight_gradients.of(norm.shift);
  layers.ops.layer_norm_backward(layers.queue.raw(), backward);
}

void BackwardLayers::mlp(const Tensor& middle, const Tensor& pre_activation,
                         const BlockWeights& block, const kernels::RowFactors& factors,
                         const Tensor& gradient) const {
  const engine::ArenaScope scope(layers.arena);
  const index_t items = gradient.shape[0], rows = gradient.shape[1];
  const index_t width = layers.config.embed_dim, hidden_width = layers.config.mlp_hidden;
  const Tensor operand = as_operand(gradient, factors);
  const Tensor hidden_gradient = layers.allocate_operand({items, rows, hidden_width});
  linear(items, rows, operand.matrix(), block.fc2, hidden_gradient.matrix(), pre_activation);
  const Tensor normalised_gradient = layers.allocate_operand({items, rows, width});
  linear(hidden_gradient, block.fc1, normalised_gradient);
  if (weight_gradients.wanted()) {
    const Tensor hidden = layers.allocate_operand({items, rows, hidden_width});
    kernels::Gelu gelu;
    gelu.items = items;
    gelu.rows = rows;
    gelu.columns = hidden_width;
    gelu.input = pre_activation.matrix();
    gelu.output = hidden.matrix();
    layers.ops.gelu(layers.queue.raw(), gelu);
    weight_gradients.linear(hidden, operand, block.fc2);
    const Tensor normalised = layers.allocate_operand({items, rows, width});
    layers.layer_norm(middle, block.norm2, normalised);
    weight_gradients.linear(normalised, hidden_gradient, block.fc1);
  }
  layer_norm(middle, block.norm2, normalised_gradient, gradient, true);
}

void BackwardLayers::pre_activation(const Tensor& middle, const BlockWeights& block,
                                    const Tensor& output) const {
  const engine::ArenaScope scope(layers.arena);
  const Tensor normalised = layers.allocate_operand(middle.shape);
  layers.layer_norm(middle, block.norm2, normalised);
  layers.linear(normalised, block.fc1, output);
}

Tensor BackwardLayers::as_operand(const Tensor& gradient,
                                  const kernels::RowFactors& factors) const {
  if (layers.vit.precision() == DType::f32 && !factors.factors) return gradient;
  const Tensor result = layers.allocate_operand(gradient.shape);
  kernels::CopyRows copy;
  copy.items = gradient.shape[0];
  copy.rows = gradient.shape[1];
  copy.columns = gradient.shape[2];
  copy.source = gradient.matrix();
  copy.destination = result.matrix();
  copy.factors = factors;
  layers.ops.copy_rows(layers.queue.raw(), copy);
  return result;
}

}  // namespace vitsnna::model
