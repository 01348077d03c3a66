// What every pass of one explanation shares. Private to explain/.
#pragma once

#include "explain/ingredients.h"
#include "model/backward.h"
#include "model/forward.h"

namespace vitsnna::explain {

using engine::Tensor;

/// Copies a device tensor to host memory and waits for it.
std::vector<float> download(engine::Queue& queue, const Tensor& tensor);

/// The image and baseline on the device, the grid, and what runs the passes.
struct ExplainContext {
  model::PassContext pass;
  const ExplainRequest& request;
  Needs needs;
  model::GridEmbedding grid;
  Tensor image;     ///< (channels, height, width)
  Tensor baseline;  ///< the same, or none: zeros
  index_t height = 0, width = 0;
  float sigma = 0.f;  ///< of the noise

  const model::VitConfig& config() const { return pass.vit.config(); }
  index_t tokens() const { return grid.tokens(); }
  index_t pixels() const { return config().channels * height * width; }

  /// A Patchify that shares the one image between items.
  kernels::Patchify patchify() const {
    kernels::Patchify args;
    args.height = height;
    args.width = width;
    args.image = image.f32();
    args.image_stride = 0;
    return args;
  }

  std::vector<float> download(const Tensor& tensor) const {
    return explain::download(pass.queue, tensor);
  }

  /// destination (channels, height, width) += weight * sum over items of the patch rows' gradient.
  void add_pixel_gradient(const Tensor& patches_gradient, float weight,
                          const Tensor& destination) const;

  /// Logit gradients: row g is the unit vector of labels[g], for `items` images each.
  Tensor one_hot(std::span<const index_t> labels, index_t items) const;
};

}  // namespace vitsnna::explain
