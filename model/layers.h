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
  /// output = input W^T + b, with an epilogue.
  void linear(index_t items, index_t rows, kernels::ConstMatrix input, const LinearLayer& layer,
              kernels::Matrix output, kernels::Epilogue epilogue = kernels::Epilogue::none) const;
  /// output += input W^T + b: onto the residual stream.
  void linear_add(index_t items, index_t rows, kernels::ConstMatrix input, const LinearLayer& layer,
                  kernels::Matrix output) const;
  void copy(index_t items, index_t rows, index_t columns, kernels::ConstMatrix source,
            kernels::Matrix destination) const;

  /// How many items' hidden rows of an MLP to hold at once.
  index_t mlp_group(index_t items, index_t tokens) const;

  const Vit& vit;
  const VitConfig& config;
  engine::Queue& queue;
  engine::Arena& arena;
  const kernels::Backend& ops;
};

}  // namespace vitsnna::model
