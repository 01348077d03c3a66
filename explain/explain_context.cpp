// Small device work that several passes share.
#include "explain/explain_context.h"

namespace vitsnna::explain {

using engine::DType;

std::vector<float> download(engine::Queue& queue, const Tensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
  queue.download(values.data(), tensor.f32(), tensor.bytes());
  queue.synchronize();
  return values;
}

Tensor ExplainContext::one_hot(std::span<const index_t> labels, index_t items) const {
  const index_t classes = config().num_classes;
  const index_t rows = static_cast<index_t>(labels.size()) * items;
  std::vector<float> values(static_cast<std::size_t>(rows * classes), 0.f);
  for (index_t row = 0; row < rows; ++row) {
    const index_t label = labels[static_cast<std::size_t>(row) % labels.size()];
    values[static_cast<std::size_t>(row * classes + label)] = 1.f;
  }
  const Tensor gradient = pass.arena.allocate(DType::f32, {rows, classes});
  pass.queue.upload(gradient.data, values.data(), gradient.bytes());
  pass.queue.synchronize();
  return gradient;
}

void ExplainContext::add_pixel_gradient(const Tensor& patches_gradient, float weight,
                                        const Tensor& destination) const {
  kernels::UnpatchifyGradient args;
  args.items = patches_gradient.shape[0];
  args.channels = config().channels;
  args.height = height;
  args.width = width;
  args.patch_size = config().patch_size;
  args.grid_height = grid.height;
  args.grid_width = grid.width;
  args.patches_gradient = patches_gradient.matrix();
  args.image_gradient = destination.f32();
  args.sum_items = true;
  args.weight = weight;
  pass.queue.backend().unpatchify_gradient(pass.queue.raw(), args);
}

}  // namespace vitsnna::explain
