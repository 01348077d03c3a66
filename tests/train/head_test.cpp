// A last layer so wide that it is computed slice by slice is the layer: its rows behave as those of
// narrower heads, of one slice each, that share all below it.
#include "train/dino/head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support/relative_error.h"
#include "tests/support/test_device.h"
#include "train/dino/learner.h"

namespace vitsnna::train {
namespace {

using Tensors = std::map<std::string, engine::HostTensor>;

constexpr index_t kItems = 3;
// Products of one slice's sums of at most 8192 terms, added up in another order.
constexpr double kTolerance = 1e-5;

DinoHeadConfig config_of(index_t out_dim) {
  DinoHeadConfig config;
  config.in_features = 24;
  config.hidden = 32;
  config.bottleneck = 16;
  config.out_dim = out_dim;
  return config;
}

std::vector<float> normals(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

/// What a head makes of features and of its logits' gradient.
struct Outcome {
  std::vector<float> logits, features_gradient, weight_gradient;
};

Outcome run(const Tensors& tensors, index_t out_dim, const std::vector<float>& features,
            const std::vector<float>& logits_gradient) {
  engine::Queue queue(test::test_device(), 2);
  DinoHead head(queue, config_of(out_dim), DType::f32);
  for (const auto& entry : head.parameters().table().entries()) {
    const std::vector<float> values = tensors.at(entry.name).to_floats();
    queue.upload(head.parameters().data() + entry.offset, values.data(), entry.elements * 4);
    queue.synchronize();
  }
  head.refresh(queue);
  queue.reserve_scratch(index_t{64} << 20);
  engine::Arena arena(&queue.backend(), index_t{64} << 20);
  const auto on_device = [&](const std::vector<float>& values, index_t columns) {
    const Tensor tensor = arena.allocate(DType::f32, {kItems, columns});
    queue.upload(tensor.data, values.data(), tensor.bytes());
    queue.synchronize();
    return tensor;
  };
  const auto read = [&](const float* data, index_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    queue.download(values.data(), data, count * 4);
    queue.synchronize();
    return values;
  };
  const DinoHeadPass pass = head.forward(queue, arena, on_device(features, 24));
  Outcome outcome;
  outcome.logits = read(pass.logits.f32(), kItems * out_dim);
  const model::Parameters gradients(queue, head_table(config_of(out_dim)));
  queue.zero(gradients.data(), gradients.table().block_elements() * 4);
  const Tensor gradient =
      head.backward(queue, arena, pass, on_device(logits_gradient, out_dim), gradients);
  outcome.features_gradient = read(gradient.f32(), kItems * 24);
  const auto& entry = gradients.table().at("last_layer.weight_v");
  outcome.weight_gradient = read(gradients.data() + entry.offset, entry.elements);
  return outcome;
}

/// Columns first .. first + count - 1 of (items, columns).
std::vector<float> columns_of(const std::vector<float>& values, index_t columns, index_t first,
                              index_t count) {
  std::vector<float> part;
  for (index_t item = 0; item < kItems; ++item) {
    const auto row = values.begin() + item * columns + first;
    part.insert(part.end(), row, row + count);
  }
  return part;
}

TEST(DinoHead, SlicesOfAWideLastLayerAreTheLayer) {
  constexpr index_t kOutDim = 2 * 8192 + 96;  // two whole slices and one that is not
  Tensors tensors = random_head(config_of(kOutDim), 3);
  const std::vector<float> features = normals(kItems * 24, 1);
  const std::vector<float> gradient = normals(kItems * kOutDim, 2);
  const Outcome whole = run(tensors, kOutDim, features, gradient);

  const std::vector<float> rows = tensors.at("last_layer.weight_v").to_floats();
  std::vector<double> sum(kItems * 24, 0.);
  for (index_t first = 0; first < kOutDim; first += 4096) {
    const index_t count = std::min<index_t>(4096, kOutDim - first);
    Tensors part = tensors;
    part["last_layer.weight_g"] = engine::HostTensor::from_floats(
        {count, 1}, std::vector<float>(static_cast<std::size_t>(count), 1.f));
    part["last_layer.weight_v"] = engine::HostTensor::from_floats(
        {count, 16},
        std::vector<float>(rows.begin() + first * 16, rows.begin() + (first + count) * 16));
    const Outcome narrow = run(part, count, features, columns_of(gradient, kOutDim, first, count));
    EXPECT_LT(test::relative_error(columns_of(whole.logits, kOutDim, first, count), narrow.logits),
              kTolerance)
        << first;
    const std::vector<float> rows_gradient(whole.weight_gradient.begin() + first * 16,
                                           whole.weight_gradient.begin() + (first + count) * 16);
    EXPECT_LT(test::relative_error(rows_gradient, narrow.weight_gradient), kTolerance) << first;
    for (std::size_t k = 0; k < sum.size(); ++k) {
      sum[k] += static_cast<double>(narrow.features_gradient[k]);
    }
  }
  EXPECT_LT(
      test::relative_error(whole.features_gradient, std::vector<float>(sum.begin(), sum.end())),
      kTolerance);
}

}  // namespace
}  // namespace vitsnna::train
