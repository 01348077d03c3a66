// Short names for the launches that the passes are made of. Private to model/.
#pragma once

#include "model/forward.h"

namespace vitsnna::model {

/// Launches ops of one pass on its queue.
class Layers {
 public:
  explicit Layers(const PassContext& context)
      : vit(context.vit),
        config(context.vit.config()),
        queue(context.queue),
        arena(context.arena),
        ops(context.queue.backend()) {}

  Tensor allocate(engine::Shape shape, DType dtype) const { return arena.allocate(dtype, shape); }
  Tensor allocate_f32(engine::Shape shape) const { return allocate(shape, DType::f32); }
  /// In the type of the products' operands.
  Tensor allocate_operand(engine::Shape shape) const { return allocate(shape, vit.precision()); }

  /// An attention's extents for this model.
  kernels::AttentionShape attention_shape(index_t items, index_t queries, index_t keys) const {
    return {items, config.num_heads, config.head_dim(), queries, keys};
  }

  void layer_norm(index_t items, index_t rows, kernels::ConstMatrix input, const NormLayer& norm,
                  kernels::Matrix output) const;
  /// output = input W^T + b.
  void linear(index_t items, index_t rows, kernels::ConstMatrix input, const LinearLayer& layer,
              kernels::Matrix output) const;
  void copy(index_t items, index_t rows, index_t columns, kernels::ConstMatrix source,
            kernels::Matrix destination) const;

  // The same on every row of whole tensors.
  void layer_norm(const Tensor& input, const NormLayer& norm, const Tensor& output) const;
  void linear(const Tensor& input, const LinearLayer& layer, const Tensor& output) const;
  /// output = residual + factor (input W^T + b); `output` may be the residual.
  void linear_add(const Tensor& input, const LinearLayer& layer, const Tensor& residual,
                  const kernels::RowFactors& factors, const Tensor& output) const;
  /// hidden = gelu(input W^T + b); keeps input W^T + b where `pre_activation` is given.
  void mlp_hidden(const Tensor& input, const LinearLayer& fc1, const Tensor& hidden,
                  const Tensor& pre_activation) const;

  /// How many of `units` units of `rows` token rows to take through an MLP at once.
  index_t mlp_slab(index_t units, index_t rows) const;

  const Vit& vit;
  const VitConfig& config;
  engine::Queue& queue;
  engine::Arena& arena;
  const kernels::Backend& ops;
};

}  // namespace vitsnna::model
