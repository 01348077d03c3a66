// What every pass of one explanation shares. Private to explain/.
#pragma once

#include "explain/device_ingredients.h"
#include "model/backward.h"
#include "model/forward.h"

namespace vitsnna::explain {

/// Copies a device tensor to host memory and waits for it.
std::vector<float> download(engine::Queue& queue, const Tensor& tensor);

/// What runs the passes, what they read and what they leave.
struct ExplainContext {
  model::PassContext pass;
  const ExplainRequest& request;
  const ExplanationShape& shape;
  const PassInputs& inputs;
  const DeviceIngredients& results;
  model::GridEmbedding grid;
  Tensor extremes;  ///< (2): minimum and maximum of the image, the noise's unit

  const model::VitConfig& config() const { return pass.vit.config(); }
  const Needs& needs() const { return shape.needs; }
  index_t tokens() const { return grid.tokens(); }
  index_t pixels() const { return config().channels * shape.height * shape.width; }

  /// A Patchify that shares the one image between items.
  kernels::Patchify patchify() const;

  /// destination (1, pixels) += weight * sum over items of the patch rows' gradient.
  void add_pixel_gradient(const Tensor& patches_gradient, float weight,
                          const Tensor& destination) const;

  /// The last block's values, which its CLS rows are gradients of: (items, tokens, d).
  kernels::ConstMatrix values(const model::ForwardPass& forward, index_t block) const;

  /// destination (rows, columns) = source (1 or rows, columns), both fp32.
  void copy(const Tensor& source, const Tensor& destination) const;
};

}  // namespace vitsnna::explain
