// The head's launches.
#include "train/dino/head.h"

#include <string>

namespace vitsnna::train {

namespace {

using engine::Arena;
using engine::Queue;
using kernels::Matrix;
using model::LinearLayer;

/// (items, columns) as one run of rows.
Matrix rows(const Tensor& tensor) {
  const index_t columns = tensor.shape[1];
  return {tensor.data, tensor.dtype, tensor.shape[0] * columns, columns};
}

void linear(Queue& queue, const Tensor& input, const LinearLayer& layer, const Tensor& output,
            const Tensor& pre_activation = {}) {
  kernels::Linear args;
  args.rows = input.shape[0];
  args.input = rows(input);
  args.weight = layer.forward;
  args.bias = layer.bias;
  args.output = rows(output);
  if (pre_activation) {
    args.epilogue = kernels::Epilogue::gelu;
    args.pre_activation = rows(pre_activation);
  }
  queue.backend().linear(queue.raw(), args);
}

void linear_backward(Queue& queue, const Tensor& gradient, const LinearLayer& layer,
                     const Tensor& input_gradient, const Tensor& pre_activation = {}) {
  kernels::Linear args;
  args.rows = gradient.shape[0];
  args.input = rows(gradient);
  args.weight = layer.backward;
  args.output = rows(input_gradient);
  if (pre_activation) {
    args.epilogue = kernels::Epilogue::gelu_backward;
    args.auxiliary = rows(pre_activation);
    args.auxiliary_items = 1;
  }
  queue.backend().linear(queue.raw(), args);
}

void weight_gradient(Queue& queue, const Tensor& input, const Tensor& gradient, float* weight,
                     float* bias) {
  kernels::LinearWeightGradient args;
  args.rows = input.shape[0];
  args.out_features = gradient.shape[1];
  args.in_features = input.shape[1];
  args.input = rows(input);
  args.output_gradient = rows(gradient);
  args.weight_gradient = weight;
  args.bias_gradient = bias;
  queue.backend().linear_weight_gradient(queue.raw(), args);
}

/// The tensor itself where it has the type already.
Tensor converted(Queue& queue, Arena& arena, const Tensor& tensor, DType dtype) {
  if (tensor.dtype == dtype) return tensor;
  const Tensor copy = arena.allocate(dtype, tensor.shape);
  kernels::CopyRows args;
  args.rows = tensor.shape[0];
  args.columns = tensor.shape[1];
  args.source = rows(tensor);
  args.destination = rows(copy);
  queue.backend().copy_rows(queue.raw(), args);
  return copy;
}

model::ParameterTable last_layer_table(const DinoHeadConfig& config) {
  model::ParameterTable table;
  table.add("weight", {config.out_dim, config.bottleneck});
  return table;
}

std::string layer_name(int layer) { return "mlp." + std::to_string(2 * layer); }

}  // namespace

model::ParameterTable head_table(const DinoHeadConfig& config) {
  model::ParameterTable table;
  const index_t widths[] = {config.in_features, config.hidden, config.hidden, config.bottleneck};
  for (int layer = 0; layer < 3; ++layer) {
    table.add(layer_name(layer) + ".weight", {widths[layer + 1], widths[layer]});
    table.add(layer_name(layer) + ".bias", {widths[layer + 1]});
  }
  table.add("last_layer.weight_g", {config.out_dim, 1});
  table.add("last_layer.weight_v", {config.out_dim, config.bottleneck});
  return table;
}

DinoHead::DinoHead(Queue& queue, const DinoHeadConfig& config, DType precision)
    : config_(config),
      precision_(precision),
      parameters_(queue, head_table(config)),
      last_weight_(queue, last_layer_table(config)),
      prepared_(queue.backend()) {
  for (int layer = 0; layer < 3; ++layer) {
    const auto& weight = parameters_.table().at(layer_name(layer) + ".weight");
    prepared_.add(mlp_[layer], parameters_.data() + weight.offset,
                  parameters_.at(layer_name(layer) + ".bias"), weight.shape[0], weight.shape[1],
                  precision);
  }
  prepared_.add(last_, last_weight_.data(), nullptr, config.out_dim, config.bottleneck, precision);
  prepared_.allocate();
}

void DinoHead::refresh(Queue& queue) {
  kernels::NormalizeRows args;
  args.rows = config_.out_dim;
  args.columns = config_.bottleneck;
  args.input = parameters_.at("last_layer.weight_v");
  args.length = parameters_.at("last_layer.weight_g");
  args.epsilon = 0.f;  // torch's weight_norm divides by the length as it is
  args.output = {last_weight_.data(), DType::f32, config_.out_dim * config_.bottleneck,
                 config_.bottleneck};
  queue.backend().normalize_rows(queue.raw(), args);
  prepared_.prepare(queue);
}

DinoHeadPass DinoHead::forward(Queue& queue, Arena& arena, const Tensor& features,
                               const Tensor& logits) const {
  const index_t items = features.shape[0];
  DinoHeadPass pass;
  pass.input = converted(queue, arena, features, precision_);
  const Tensor* input = &pass.input;
  for (int layer = 0; layer < 2; ++layer) {
    pass.pre_activation[layer] = arena.allocate(precision_, {items, config_.hidden});
    pass.hidden[layer] = arena.allocate(precision_, {items, config_.hidden});
    linear(queue, *input, mlp_[layer], pass.hidden[layer], pass.pre_activation[layer]);
    input = &pass.hidden[layer];
  }
  pass.bottleneck = arena.allocate(DType::f32, {items, config_.bottleneck});
  linear(queue, *input, mlp_[2], pass.bottleneck);
  pass.normalised = arena.allocate(precision_, {items, config_.bottleneck});
  kernels::NormalizeRows normalize;
  normalize.rows = items;
  normalize.columns = config_.bottleneck;
  normalize.input = pass.bottleneck.f32();
  normalize.output = rows(pass.normalised);
  queue.backend().normalize_rows(queue.raw(), normalize);
  pass.logits = logits ? logits : arena.allocate(DType::f32, {items, config_.out_dim});
  linear(queue, pass.normalised, last_, pass.logits);
  return pass;
}

Tensor DinoHead::backward(Queue& queue, Arena& arena, const DinoHeadPass& pass,
                          const Tensor& logits_gradient, const model::Parameters& gradients) const {
  const index_t items = pass.input.shape[0];
  const Tensor features_gradient = arena.allocate(DType::f32, {items, config_.in_features});
  const engine::ArenaScope scope(arena);
  const Tensor logits = converted(queue, arena, logits_gradient, precision_);

  const Tensor last = arena.allocate(DType::f32, {config_.out_dim, config_.bottleneck});
  queue.zero(last.data, last.bytes());
  weight_gradient(queue, pass.normalised, logits, last.f32(), nullptr);
  kernels::NormalizeRowsBackward weight_norm;
  weight_norm.rows = config_.out_dim;
  weight_norm.columns = config_.bottleneck;
  weight_norm.input = parameters_.at("last_layer.weight_v");
  weight_norm.length = parameters_.at("last_layer.weight_g");
  weight_norm.epsilon = 0.f;
  weight_norm.output_gradient = last.f32();
  weight_norm.input_gradient = gradients.at("last_layer.weight_v");
  if (!config_.norm_last_layer) weight_norm.length_gradient = gradients.at("last_layer.weight_g");
  queue.backend().normalize_rows_backward(queue.raw(), weight_norm);

  const Tensor normalised = arena.allocate(DType::f32, {items, config_.bottleneck});
  linear_backward(queue, logits, last_, normalised);
  const Tensor bottleneck = arena.allocate(DType::f32, {items, config_.bottleneck});
  kernels::NormalizeRowsBackward normalize;
  normalize.rows = items;
  normalize.columns = config_.bottleneck;
  normalize.input = pass.bottleneck.f32();
  normalize.output_gradient = normalised.f32();
  normalize.accumulate = false;
  normalize.input_gradient = bottleneck.f32();
  queue.backend().normalize_rows_backward(queue.raw(), normalize);

  Tensor gradient = converted(queue, arena, bottleneck, precision_);
  for (int layer = 2; layer >= 0; --layer) {
    const Tensor& input = layer == 0 ? pass.input : pass.hidden[layer - 1];
    weight_gradient(queue, input, gradient, gradients.at(layer_name(layer) + ".weight"),
                    gradients.at(layer_name(layer) + ".bias"));
    if (layer == 0) {
      linear_backward(queue, gradient, mlp_[0], features_gradient);
    } else {
      const Tensor below = arena.allocate(precision_, {items, config_.hidden});
      linear_backward(queue, gradient, mlp_[layer], below, pass.pre_activation[layer - 1]);
      gradient = below;
    }
  }
  return features_gradient;
}

}  // namespace vitsnna::train
