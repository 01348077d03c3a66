// The launches that a backward is made of: layers from their output's gradient to their input's and
// their weights'. Private to model/.
#pragma once

#include "model/layers.h"
#include "model/weight_gradients.h"

namespace vitsnna::model {

class BackwardLayers {
 public:
  /// `gradients` of the weights may be null: none are wanted.
  BackwardLayers(const PassContext& context, const Parameters* gradients)
      : layers(context), weight_gradients(layers, gradients) {}
  BackwardLayers(const BackwardLayers&) = delete;
  BackwardLayers& operator=(const BackwardLayers&) = delete;

  /// input_gradient = output_gradient W, optionally times gelu'(pre_activation) or added to what is
  /// there.
  void linear(index_t items, index_t rows, kernels::ConstMatrix output_gradient,
              const LinearLayer& layer, kernels::Matrix input_gradient,
              const Tensor& pre_activation = {}, bool accumulate = false) const;
  void linear(const Tensor& output_gradient, const LinearLayer& layer,
              const Tensor& input_gradient) const {
    linear(output_gradient.shape[0], output_gradient.shape[1], output_gradient.matrix(), layer,
           input_gradient.matrix());
  }

  /// With the gradients of gain and shift. `input_items` inputs have `items` gradients.
  void layer_norm(index_t items, index_t rows, kernels::ConstMatrix input, index_t input_items,
                  const NormLayer& norm, kernels::ConstMatrix output_gradient,
                  kernels::Matrix input_gradient, bool accumulate) const;
  void layer_norm(const Tensor& input, const NormLayer& norm, const Tensor& output_gradient,
                  const Tensor& input_gradient, bool accumulate) const {
    layer_norm(output_gradient.shape[0], output_gradient.shape[1], input.matrix(), input.shape[0],
               norm, output_gradient.matrix(), input_gradient.matrix(), accumulate);
  }

  /// gradient += d factor MLP(LN(middle)) / d middle, gradient rows on entry dL/d output.
  void mlp(const Tensor& middle, const Tensor& pre_activation, const BlockWeights& block,
           const kernels::RowFactors& factors, const Tensor& gradient) const;

  /// What an MLP's GELU was applied to, computed anew where the forward kept none.
  void pre_activation(const Tensor& middle, const BlockWeights& block, const Tensor& output) const;

  /// The fp32 gradient rows as operands of a product: themselves in fp32, a rounded copy in bf16;
  /// scaled, where a branch had factors.
  Tensor as_operand(const Tensor& gradient, const kernels::RowFactors& factors = {}) const;

  const Layers layers;
  const WeightGradients weight_gradients;
};

}  // namespace vitsnna::model
