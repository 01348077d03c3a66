// The backward pass of a ViT: from the gradient of logits (or features) to the gradient at every
// attention output, at the patch rows, and at the parameters.
//
// Several gradients of one image (its labels) share the forward and every recomputation. Gradient
// rows are ordered (item, gradient); either `items` of the pass or `gradients` must be 1. A pass
// over images of several sizes has one gradient an image.
#pragma once

#include <functional>
#include <vector>

#include "model/forward.h"

namespace vitsnna::model {

struct BackwardRequest {
  index_t gradients = 1;
  Tensor logit_gradient;    ///< (items * gradients, classes), or
  Tensor feature_gradient;  ///< (items * gradients, head_blocks, d) when there is no logit gradient

  /// How far down to go. `last_block` needs no recorded pass.
  enum class Depth : std::uint8_t {
    last_block,  ///< dO of the last block only
    attention,   ///< dO of every block
    parameters,  ///< and the gradient at every parameter
    patches,     ///< and at the patch rows
  };
  Depth depth = Depth::last_block;

  /// Keep dO of every block (otherwise only the last block's is kept).
  bool keep_attention_gradients = false;
  /// Called for every block, last first, once dO of the block is known and before its attention's
  /// backward. May return relevance rows to take out of the same tiles (query, key, value and
  /// gradients are filled in; alive until the next call), or null; the last block's is ignored.
  std::function<const kernels::RelevanceRows*(index_t block, const Tensor& output_gradient)>
      at_block;

  /// Parameter gradients are ADDED here (depth `parameters` or `patches`, gradients == 1, patches
  /// kept); or null.
  const Parameters* parameter_gradients = nullptr;
  /// Called for every block, last first, once nothing more will be added to the gradients of its
  /// parameters (what computes them is on the queue), and with -1 once the same holds of all
  /// others.
  std::function<void(index_t block)> gradients_final;
};

struct BackwardPass {
  /// dO per block: token rows of d, (items * gradients, tokens, d) where the images have one size;
  /// the last block's (items * gradients, 1, d).
  /// Without keep_attention_gradients only the last entry is set.
  std::vector<Tensor> attention_output_gradient;
  /// (items * gradients, patches, channels p p) fp32; images of one size only.
  Tensor patches_gradient;
};

BackwardPass backward(const PassContext& context, const ForwardPass& pass,
                      const BackwardRequest& request);

}  // namespace vitsnna::model
