// The head's launches.
#include "train/dino/head.h"

#include <algorithm>
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

/// Columns first .. first + count - 1.
Matrix columns(const Tensor& tensor, index_t first) {
  Matrix matrix = rows(tensor);
  matrix.data = static_cast<char*>(tensor.data) + first * kernels::size_of(tensor.dtype);
  return matrix;
}

void linear(Queue& queue, const Tensor& input, const LinearLayer& layer, const Tensor& output,
            const Tensor& pre_activation = {}, index_t first_column = 0) {
  kernels::Linear args;
  args.rows = input.shape[0];
  args.input = rows(input);
  args.weight = layer.forward;
  args.bias = layer.bias;
  args.output = columns(output, first_column);
  if (pre_activation) {
    args.epilogue = kernels::Epilogue::gelu;
    args.pre_activation = rows(pre_activation);
  }
  queue.backend().linear(queue.raw(), args);
}

/// From the gradient's columns first_column .. on; those after the first ones add.
void linear_backward(Queue& queue, const Tensor& gradient, const LinearLayer& layer,
                     const Tensor& input_gradient, const Tensor& pre_activation = {},
                     index_t first_column = 0) {
  kernels::Linear args;
  args.rows = gradient.shape[0];
  args.input = columns(gradient, first_column);
  args.weight = layer.backward;
  args.output = rows(input_gradient);
  if (first_column > 0) args.residual = args.output;
  if (pre_activation) {
    args.epilogue = kernels::Epilogue::gelu_backward;
    args.auxiliary = rows(pre_activation);
    args.auxiliary_items = 1;
  }
  queue.backend().linear(queue.raw(), args);
}

void weight_gradient(Queue& queue, const Tensor& input, const Tensor& gradient,
                     const LinearLayer& layer, float* weight, float* bias,
                     index_t first_column = 0) {
  kernels::LinearWeightGradient args;
  args.rows = input.shape[0];
  args.out_features = layer.forward.out_features;
  args.in_features = layer.forward.in_features;
  args.input = rows(input);
  args.output_gradient = columns(gradient, first_column);
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

constexpr index_t kSliceRows = 8192;

/// Whether products of this type read the last layer's fp32 weight itself.
bool reads_last_weight(const kernels::Backend& backend, const DinoHeadConfig& config,
                       DType precision, const model::WeightUse& use) {
  model::PreparedWeights probe(backend);
  LinearLayer layer;
  probe.add(layer, nullptr, nullptr, std::min(config.out_dim, kSliceRows), config.bottleneck,
            precision, use);
  return probe.reads_masters();
}

model::ParameterTable last_layer_table(const DinoHeadConfig& config, bool whole) {
  model::ParameterTable table;
  table.add("weight",
            {whole ? config.out_dim : std::min(config.out_dim, kSliceRows), config.bottleneck});
  return table;
}

model::WeightUse last_layer_use(model::WeightUse use) {
  use.few_rows = true;
  return use;
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

DinoHead::DinoHead(Queue& queue, const DinoHeadConfig& config, DType precision,
                   const model::WeightUse& use)
    : config_(config),
      precision_(precision),
      parameters_(queue, head_table(config)),
      keeps_last_weight_(
          reads_last_weight(queue.backend(), config, precision, last_layer_use(use))),
      last_weight_(queue, last_layer_table(config, keeps_last_weight_)),
      prepared_(queue.backend()) {
  for (int layer = 0; layer < 3; ++layer) {
    const auto& weight = parameters_.table().at(layer_name(layer) + ".weight");
    prepared_.add(mlp_[layer], parameters_.data() + weight.offset,
                  parameters_.at(layer_name(layer) + ".bias"), weight.shape[0], weight.shape[1],
                  precision, use);
  }
  prepared_.allocate();
  for (index_t first = 0; first < config.out_dim; first += kSliceRows) {
    last_.push_back({first,
                     std::min(kSliceRows, config.out_dim - first),
                     {},
                     model::PreparedWeights(queue.backend())});
  }
  for (Slice& slice : last_) {
    slice.prepared.add(slice.layer, last_weight(slice), nullptr, slice.count, config.bottleneck,
                       precision, last_layer_use(use));
    slice.prepared.allocate();
  }
}

float* DinoHead::last_weight(const Slice& slice) const {
  return last_weight_.data() + (keeps_last_weight_ ? slice.first * config_.bottleneck : 0);
}

void DinoHead::refresh(Queue& queue) {
  for (const Slice& slice : last_) {
    kernels::NormalizeRows args;
    args.rows = slice.count;
    args.columns = config_.bottleneck;
    args.input = parameters_.at("last_layer.weight_v") + slice.first * config_.bottleneck;
    args.length = parameters_.at("last_layer.weight_g") + slice.first;
    args.epsilon = 0.f;  // torch's weight_norm divides by the length as it is
    args.output = {last_weight(slice), DType::f32, slice.count * config_.bottleneck,
                   config_.bottleneck};
    queue.backend().normalize_rows(queue.raw(), args);
    slice.prepared.prepare(queue);
  }
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
  for (const Slice& slice : last_) {
    linear(queue, pass.normalised, slice.layer, pass.logits, {}, slice.first);
  }
  return pass;
}

void DinoHead::last_layer_weight_gradient(Queue& queue, Arena& arena, const DinoHeadPass& pass,
                                          const Tensor& logits_gradient, const Slice& slice,
                                          const model::Parameters& gradients) const {
  const engine::ArenaScope scope(arena);
  const Tensor weight = arena.allocate(DType::f32, {slice.count, config_.bottleneck});
  queue.zero(weight.data, weight.bytes());
  weight_gradient(queue, pass.normalised, logits_gradient, slice.layer, weight.f32(), nullptr,
                  slice.first);
  const index_t offset = slice.first * config_.bottleneck;
  kernels::NormalizeRowsBackward args;
  args.rows = slice.count;
  args.columns = config_.bottleneck;
  args.input = parameters_.at("last_layer.weight_v") + offset;
  args.length = parameters_.at("last_layer.weight_g") + slice.first;
  args.epsilon = 0.f;
  args.output_gradient = weight.f32();
  args.input_gradient = gradients.at("last_layer.weight_v") + offset;
  if (!config_.norm_last_layer) {
    args.length_gradient = gradients.at("last_layer.weight_g") + slice.first;
  }
  queue.backend().normalize_rows_backward(queue.raw(), args);
}

Tensor DinoHead::backward(Queue& queue, Arena& arena, const DinoHeadPass& pass,
                          const Tensor& logits_gradient, const model::Parameters& gradients) const {
  const index_t items = pass.input.shape[0];
  const Tensor features_gradient = arena.allocate(DType::f32, {items, config_.in_features});
  const engine::ArenaScope scope(arena);
  const Tensor logits = converted(queue, arena, logits_gradient, precision_);

  const Tensor normalised = arena.allocate(DType::f32, {items, config_.bottleneck});
  for (const Slice& slice : last_) {
    last_layer_weight_gradient(queue, arena, pass, logits, slice, gradients);
    linear_backward(queue, logits, slice.layer, normalised, {}, slice.first);
  }
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
    weight_gradient(queue, input, gradient, mlp_[layer],
                    gradients.at(layer_name(layer) + ".weight"),
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
