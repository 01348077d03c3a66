// The launches that forward and backward share.
#include "model/layers.h"

#include <algorithm>

namespace vitsnna::model {

void Layers::layer_norm(index_t items, index_t rows, kernels::ConstMatrix input,
                        const NormLayer& norm, kernels::Matrix output) const {
  kernels::LayerNorm args;
  args.items = items;
  args.rows = rows;
  args.columns = config.embed_dim;
  args.input = input;
  args.gain = norm.gain;
  args.shift = norm.shift;
  args.epsilon = config.layer_norm_epsilon;
  args.output = output;
  ops.layer_norm(queue.raw(), args);
}

void Layers::linear(index_t items, index_t rows, kernels::ConstMatrix input,
                    const LinearLayer& layer, kernels::Matrix output) const {
  kernels::Linear args;
  args.items = items;
  args.rows = rows;
  args.input = input;
  args.weight = layer.forward;
  args.bias = layer.bias;
  args.output = output;
  ops.linear(queue.raw(), args);
}

void Layers::copy(index_t items, index_t rows, index_t columns, kernels::ConstMatrix source,
                  kernels::Matrix destination) const {
  kernels::CopyRows args;
  args.items = items;
  args.rows = rows;
  args.columns = columns;
  args.source = source;
  args.destination = destination;
  ops.copy_rows(queue.raw(), args);
}

void Layers::layer_norm(const Tensor& input, const NormLayer& norm, const Tensor& output) const {
  layer_norm(input.shape[0], input.shape[1], input.matrix(), norm, output.matrix());
}

void Layers::linear(const Tensor& input, const LinearLayer& layer, const Tensor& output) const {
  linear(input.shape[0], input.shape[1], input.matrix(), layer, output.matrix());
}

void Layers::linear_add(const Tensor& input, const LinearLayer& layer, const Tensor& residual,
                        const kernels::RowFactors& factors, const Tensor& output) const {
  kernels::Linear args;
  args.items = input.shape[0];
  args.rows = input.shape[1];
  args.input = input.matrix();
  args.weight = layer.forward;
  args.bias = layer.bias;
  args.residual = residual.matrix();
  args.factors = factors;
  args.output = output.matrix();
  ops.linear(queue.raw(), args);
}

void Layers::mlp_hidden(const Tensor& input, const LinearLayer& fc1, const Tensor& hidden,
                        const Tensor& pre_activation) const {
  kernels::Linear args;
  args.items = input.shape[0];
  args.rows = input.shape[1];
  args.input = input.matrix();
  args.weight = fc1.forward;
  args.bias = fc1.bias;
  args.epilogue = kernels::Epilogue::gelu;
  args.output = hidden.matrix();
  if (pre_activation) args.pre_activation = pre_activation.matrix();
  ops.linear(queue.raw(), args);
}

index_t Layers::mlp_slab(index_t units, index_t rows) const {
  // Enough rows for every thread, few enough that the hidden rows do not dominate the memory.
  // On a CPU they then also stay in its last cache between the layers.
  const bool cpu = queue.device().kind == engine::Device::Kind::cpu;
  const index_t hidden_bytes = index_t{cpu ? 8 : 32} << 20;
  const index_t unit_bytes = rows * config.mlp_hidden * kernels::size_of(vit.precision());
  return std::clamp<index_t>(hidden_bytes / unit_bytes, 1, units);
}

}  // namespace vitsnna::model
