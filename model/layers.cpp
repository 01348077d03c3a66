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
                    const LinearLayer& layer, kernels::Matrix output,
                    kernels::Epilogue epilogue) const {
  kernels::Linear args;
  args.items = items;
  args.rows = rows;
  args.input = input;
  args.weight = layer.forward;
  args.bias = layer.bias;
  args.epilogue = epilogue;
  args.output = output;
  ops.linear(queue.raw(), args);
}

void Layers::linear_add(index_t items, index_t rows, kernels::ConstMatrix input,
                        const LinearLayer& layer, kernels::Matrix output) const {
  kernels::Linear args;
  args.items = items;
  args.rows = rows;
  args.input = input;
  args.weight = layer.forward;
  args.bias = layer.bias;
  args.accumulate = true;
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

index_t Layers::mlp_group(index_t items, index_t tokens) const {
  // Enough rows for every thread, few enough that the hidden rows do not dominate the memory.
  constexpr index_t kHiddenBytes = index_t{32} << 20;
  const index_t item_bytes = tokens * config.mlp_hidden * kernels::size_of(vit.precision());
  return std::clamp<index_t>(kHiddenBytes / item_bytes, 1, items);
}

}  // namespace vitsnna::model
