// Where the gradient of a parameter goes during a backward. Private to model/.
#pragma once

#include "model/layers.h"

namespace vitsnna::model {

/// Gradients lie in a block with the parameters' own layout, so that a parameter's gradient is at
/// the parameter's offset. Does nothing when no gradients are wanted.
class WeightGradients {
 public:
  WeightGradients(const Layers& layers, const Parameters* gradients)
      : layers_(layers), gradients_(gradients) {}

  bool wanted() const { return gradients_ != nullptr; }

  /// The place of the gradient of the parameter that `parameter` points into; null when unwanted.
  float* of(const float* parameter) const {
    return wanted() ? gradients_->data() + (parameter - layers_.vit.parameters().data()) : nullptr;
  }

  /// dW += dy^T x, db += sum dy of one layer.
  void linear(index_t items, index_t rows, kernels::ConstMatrix input,
              kernels::ConstMatrix output_gradient, const LinearLayer& layer) const;

  void linear(const Tensor& input, const Tensor& output_gradient, const LinearLayer& layer) const {
    linear(input.shape[0], input.shape[1], input.matrix(), output_gradient.matrix(), layer);
  }

  /// Gradients of the CLS token and the position embedding from dL/dtokens.
  void embedding(const GridEmbedding& grid, index_t items, const Tensor& tokens_gradient) const;

 private:
  const Layers& layers_;
  const Parameters* gradients_;
};

}  // namespace vitsnna::model
