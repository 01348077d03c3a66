// A training step is a number of matrix products that the model sets, not the images: on a GPU a
// product of one image's rows leaves nearly all of it idle.
#include <gtest/gtest.h>

#include "kernels/cuda/backend.h"
#include "model/backward.h"
#include "tests/simt/matrix_products.h"
#include "tests/support/small_vit.h"

namespace vitsnna {
namespace {

using kernels::DType;
using kernels::index_t;

/// Products of a forward and a backward over `items` images of each of two sizes in one pass.
index_t products_of(DType precision, index_t items) {
  engine::Device device;
  device.kind = engine::Device::Kind::test;
  device.backend = &kernels::cuda::backend();
  engine::Queue queue(device, 1);
  queue.reserve_scratch(index_t{16} << 20);
  engine::Arena arena(&queue.backend(), index_t{64} << 20);
  model::VitConfig config = test::small_config();
  config.num_classes = 0;
  const model::Vit vit(queue, config, test::small_metadata(), test::small_tensors(config, 3),
                       precision);
  const model::PassContext context{vit, queue, arena};
  std::vector<model::ImageGroup> groups;
  for (const index_t side : {32, 16}) {
    const std::vector<float> pixels =
        test::random_image(items * side, side, static_cast<unsigned>(side));
    const engine::Tensor images = arena.allocate(DType::f32, {items, 3, side, side});
    queue.upload(images.data, pixels.data(), images.bytes());
    model::ImageGroup group;
    group.grid = model::embed_grid(context, side, side);
    group.input.images.image = images.f32();
    group.input.images.image_stride = 3 * side * side;
    group.input.images.height = group.input.images.width = side;
    group.items = items;
    groups.push_back(group);
  }
  const index_t before = kernels::cuda::matrix_products();
  const model::ForwardPass forward = model::forward(context, groups, {true, true, true}, {});
  const model::Parameters gradients(queue, config);
  model::BackwardRequest request;
  request.depth = model::BackwardRequest::Depth::parameters;
  request.parameter_gradients = &gradients;
  const engine::Tensor slope = arena.allocate(DType::f32, forward.features.shape);
  queue.zero(slope.data, slope.bytes());
  request.feature_gradient = slope;
  model::backward(context, forward, request);
  queue.synchronize();
  return kernels::cuda::matrix_products() - before;
}

TEST(TrainingProducts, AreAsManyForManyImagesAsForOne) {
  for (const DType precision : {DType::f32, DType::bf16}) {
    EXPECT_EQ(products_of(precision, 5), products_of(precision, 1)) << name_of(precision);
  }
}

}  // namespace
}  // namespace vitsnna
