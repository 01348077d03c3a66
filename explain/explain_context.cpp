// Small device work that several passes share.
#include "explain/explain_context.h"

namespace vitsnna::explain {

std::vector<float> download(engine::Queue& queue, const Tensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
  queue.download(values.data(), tensor.f32(), tensor.bytes());
  queue.synchronize();
  return values;
}

kernels::Patchify ExplainContext::patchify() const {
  kernels::Patchify args;
  args.height = shape.height;
  args.width = shape.width;
  args.image = inputs.image.f32();
  args.image_stride = 0;
  return args;
}

void ExplainContext::add_pixel_gradient(const Tensor& patches_gradient, float weight,
                                        const Tensor& destination) const {
  kernels::UnpatchifyGradient args;
  args.items = patches_gradient.shape[0];
  args.channels = config().channels;
  args.height = shape.height;
  args.width = shape.width;
  args.patch_size = config().patch_size;
  args.grid_height = grid.height;
  args.grid_width = grid.width;
  args.patches_gradient = patches_gradient.matrix();
  args.image_gradient = destination.f32();
  args.sum_items = true;
  args.weight = weight;
  pass.queue.backend().unpatchify_gradient(pass.queue.raw(), args);
}

kernels::ConstMatrix ExplainContext::values(const model::ForwardPass& forward,
                                            index_t block) const {
  const index_t width = config().embed_dim;
  return block == config().depth - 1
             ? forward.last.key_value.columns_from(width)
             : forward.blocks[block].query_key_value.columns_from(2 * width);
}

void ExplainContext::copy(const Tensor& source, const Tensor& destination) const {
  kernels::CopyRows args;
  args.items = destination.shape[0];
  args.rows = 1;
  args.columns = destination.shape.elements() / destination.shape[0];
  const index_t source_rows = source.shape.elements() / args.columns;
  args.source = {source.data, source.dtype, source_rows > 1 ? args.columns : 0, args.columns};
  args.destination = {destination.data, destination.dtype, args.columns, args.columns};
  pass.queue.backend().copy_rows(pass.queue.raw(), args);
}

}  // namespace vitsnna::explain
