// Images of several sizes in one pass are what they are alone: features, and the sum of their
// parameter gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "model/backward.h"
#include "tests/support/expect_error.h"
#include "tests/support/relative_error.h"
#include "tests/support/small_vit.h"
#include "tests/support/test_device.h"

namespace vitsnna {
namespace {

using engine::Tensor;
using kernels::DType;
using kernels::index_t;
using model::ImageGroup;
using test::relative_error;

struct Size {
  index_t items, height, width;
};

// Sums over rows are taken in another order when packed: fp32 rounding of sums of some hundred
// terms, a few layers deep.
constexpr double kTolerance = 2e-5;

class PackedPass : public testing::Test {
 protected:
  PackedPass()
      : queue_(test::test_device(), 2),
        vit_(queue_, config(), test::small_metadata(), test::small_tensors(config(), 3),
             DType::f32),
        arena_(&queue_.backend(), index_t{64} << 20) {
    queue_.reserve_scratch(index_t{16} << 20);
  }

  /// A backbone whose last two CLS rows are read, as a head on several blocks does.
  static model::VitConfig config() {
    model::VitConfig config = test::small_config();
    config.num_classes = 0;
    config.head_blocks = 2;
    return config;
  }

  Tensor upload(const std::vector<float>& values, engine::Shape shape) {
    const Tensor tensor = arena_.allocate(DType::f32, shape);
    queue_.upload(tensor.data, values.data(), tensor.bytes());
    queue_.synchronize();
    return tensor;
  }
  std::vector<float> download(const Tensor& tensor) {
    std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
    queue_.download(values.data(), tensor.f32(), tensor.bytes());
    queue_.synchronize();
    return values;
  }

  std::vector<float> values(const model::Parameters& parameters) {
    std::vector<float> result(static_cast<std::size_t>(parameters.table().block_elements()));
    queue_.download(result.data(), parameters.data(), parameters.bytes());
    queue_.synchronize();
    return result;
  }

  ImageGroup group(const Size& size, unsigned seed) {
    const Tensor images = upload(test::random_image(size.items * size.height, size.width, seed),
                                 {size.items, 3, size.height, size.width});
    ImageGroup group;
    group.grid = model::embed_grid(pass(), size.height, size.width);
    group.input.images.image = images.f32();
    group.input.images.image_stride = 3 * size.height * size.width;
    group.input.images.height = size.height;
    group.input.images.width = size.width;
    group.items = size.items;
    return group;
  }

  struct Result {
    std::vector<float> features;
    std::vector<float> gradients;
    /// By call of gradients_final: its block, and all gradients at that moment.
    std::vector<std::pair<index_t, std::vector<float>>> moments;
  };

  /// Features, and gradients of sum(features * weights) with weights of the items from `first` on.
  Result run(std::span<const ImageGroup> groups, index_t first, bool pre_activations,
             const std::vector<float>& factors = {}) {
    return run(vit_, groups, first, pre_activations, factors);
  }
  Result run(const model::Vit& vit, std::span<const ImageGroup> groups, index_t first,
             bool pre_activations, const std::vector<float>& factors) {
    const engine::ArenaScope scope(arena_);
    const model::PassContext context{vit, queue_, arena_};
    model::BranchFactors branches;
    if (!factors.empty()) {
      branches.factors = upload(factors, {static_cast<index_t>(factors.size())}).f32();
    }
    const model::ForwardPass forward =
        model::forward(context, groups, {true, true, pre_activations}, branches);
    const model::Parameters gradients(queue_, config());
    model::BackwardRequest request;
    request.depth = model::BackwardRequest::Depth::parameters;
    request.parameter_gradients = &gradients;
    const index_t items = forward.layout.items();
    const index_t row = config().head_blocks * config().embed_dim;
    std::vector<float> weights(static_cast<std::size_t>(items * row));
    for (index_t i = 0; i < items * row; ++i) {
      weights[static_cast<std::size_t>(i)] = std::sin(static_cast<float>(first * row + i) * .37f);
    }
    request.feature_gradient = upload(weights, {items, config().head_blocks, config().embed_dim});
    Result result;
    request.gradients_final = [&](index_t block) {
      result.moments.emplace_back(block, values(gradients));
    };
    model::backward(context, forward, request);
    result.features = download(forward.features);
    result.gradients = values(gradients);
    return result;
  }

  model::PassContext pass() { return {vit_, queue_, arena_}; }

  engine::Queue queue_;
  model::Vit vit_;
  engine::Arena arena_;
};

TEST_F(PackedPass, EqualsEachSizeAlone) {
  const std::vector<Size> sizes{{2, 48, 48}, {5, 16, 24}, {1, 24, 16}};
  std::vector<ImageGroup> groups;
  for (const Size& size : sizes) groups.push_back(group(size, 7 + unsigned(groups.size())));
  const Result packed = run(groups, 0, false);
  Result alone;
  alone.gradients.assign(packed.gradients.size(), 0.f);
  index_t first = 0;
  for (const ImageGroup& one : groups) {
    const Result result = run(std::span(&one, 1), first, false);
    alone.features.insert(alone.features.end(), result.features.begin(), result.features.end());
    for (std::size_t i = 0; i < alone.gradients.size(); ++i) {
      alone.gradients[i] += result.gradients[i];
    }
    first += one.items;
  }
  EXPECT_LT(relative_error(packed.features, alone.features), kTolerance);
  const model::ParameterTable table(config());
  for (const auto& entry : table.entries()) {
    const auto at = [&](const std::vector<float>& block) {
      return std::vector<float>(block.begin() + entry.offset,
                                block.begin() + entry.offset + entry.elements);
    };
    EXPECT_LT(relative_error(at(packed.gradients), at(alone.gradients)), kTolerance) << entry.name;
  }
}

TEST_F(PackedPass, KeptPreActivationsAreTheRecomputedOnes) {
  const std::vector<ImageGroup> groups{group({2, 32, 40}, 1), group({3, 16, 16}, 2)};
  const Result recomputed = run(groups, 0, false);
  const Result kept = run(groups, 0, true);
  EXPECT_EQ(kept.features, recomputed.features);
  EXPECT_EQ(kept.gradients, recomputed.gradients);
}

/// (depth, 2, items): some 0, the others around 1.
std::vector<float> some_factors(index_t depth, index_t items) {
  std::vector<float> factors;
  for (index_t k = 0; k < 2 * depth * items; ++k) {
    factors.push_back(k % 3 == 1 ? 0.f : 1.f + .125f * static_cast<float>(k % 5));
  }
  return factors;
}

/// Drop path on an image is another model's pass: one whose branches' last layers are scaled. Their
/// own gradients are then scaled once more.
TEST_F(PackedPass, ABranchsFactorIsItsLastLayersScale) {
  const std::vector<ImageGroup> groups{group({2, 48, 48}, 7), group({3, 16, 24}, 8)};
  const index_t depth = config().depth;
  const std::vector<float> factors = some_factors(depth, 5);
  const Result packed = run(groups, 0, true, factors);
  const model::ParameterTable table(config());
  std::vector<float> features, gradients(packed.gradients.size(), 0.f);
  for (index_t item = 0; item < 5; ++item) {
    const auto factor_of = [&](const std::string& name) {
      for (index_t block = 0; block < depth; ++block) {
        const std::string prefix = "blocks." + std::to_string(block) + ".";
        const auto at = [&](index_t branch) {
          return factors[static_cast<std::size_t>((2 * block + branch) * 5 + item)];
        };
        if (name.starts_with(prefix + "attn.proj.")) return at(0);
        if (name.starts_with(prefix + "mlp.fc2.")) return at(1);
      }
      return 1.f;
    };
    std::map<std::string, engine::HostTensor> tensors = test::small_tensors(config(), 3);
    for (auto& [name, tensor] : tensors) {
      std::vector<float> values = tensor.to_floats();
      for (float& value : values) value *= factor_of(name);
      tensor = engine::HostTensor::from_floats(tensor.shape, values);
    }
    const model::Vit scaled(queue_, config(), test::small_metadata(), tensors, DType::f32);
    ImageGroup one = groups[item < 2 ? 0 : 1];
    one.items = 1;
    one.input.images.image += (item < 2 ? item : item - 2) * one.input.images.image_stride;
    const Result alone = run(scaled, std::span(&one, 1), item, true, {});
    features.insert(features.end(), alone.features.begin(), alone.features.end());
    for (const auto& entry : table.entries()) {
      for (index_t i = entry.offset; i < entry.offset + entry.elements; ++i) {
        const auto at = static_cast<std::size_t>(i);
        gradients[at] += factor_of(entry.name) * alone.gradients[at];
      }
    }
  }
  EXPECT_LT(relative_error(packed.features, features), kTolerance);
  for (const auto& entry : table.entries()) {
    const auto at = [&](const std::vector<float>& block) {
      return std::vector<float>(block.begin() + entry.offset,
                                block.begin() + entry.offset + entry.elements);
    };
    EXPECT_LT(relative_error(at(packed.gradients), at(gradients)), kTolerance) << entry.name;
  }
}

TEST_F(PackedPass, FactorsOfOneChangeNoBit) {
  const std::vector<ImageGroup> groups{group({2, 32, 40}, 1), group({3, 16, 16}, 2)};
  const Result plain = run(groups, 0, false);
  const std::vector<float> ones(static_cast<std::size_t>(2 * config().depth * 5), 1.f);
  const Result scaled = run(groups, 0, false, ones);
  EXPECT_EQ(scaled.features, plain.features);
  EXPECT_EQ(scaled.gradients, plain.gradients);
}

TEST_F(PackedPass, GradientsAreFinalWhenTheirBlockIsTold) {
  const std::vector<ImageGroup> groups{group({2, 32, 40}, 1), group({3, 16, 16}, 2)};
  const Result result = run(groups, 0, true);
  const auto depth = static_cast<std::size_t>(config().depth);
  ASSERT_EQ(result.moments.size(), depth + 1);
  const model::ParameterTable table(config());
  const auto same = [&](const std::vector<float>& then, const std::string& prefix, bool inside) {
    for (const auto& entry : table.entries()) {
      if (entry.name.starts_with(prefix) != inside) continue;
      const auto first = entry.offset, last = entry.offset + entry.elements;
      if (!std::equal(then.begin() + first, then.begin() + last, result.gradients.begin() + first))
        return false;
    }
    return true;
  };
  for (std::size_t call = 0; call < depth; ++call) {
    const auto& [block, then] = result.moments[call];
    EXPECT_EQ(block, config().depth - 1 - static_cast<index_t>(call));
    EXPECT_TRUE(same(then, "blocks." + std::to_string(block) + ".", true)) << block;
    // The next one's are not there yet: the call does not come late.
    if (block > 0) {
      EXPECT_FALSE(same(then, "blocks." + std::to_string(block - 1) + ".", true)) << block;
    }
  }
  EXPECT_EQ(result.moments.back().first, -1);
  EXPECT_TRUE(same(result.moments.back().second, "blocks.", false));
}

TEST_F(PackedPass, RefusesWhatHasNoMeaning) {
  EXPECT_ERROR(model::forward(pass(), std::span<const ImageGroup>(), model::ForwardKeep()),
               "no images");
  const std::vector<ImageGroup> groups{group({1, 32, 40}, 1), group({1, 16, 16}, 2)};
  const model::ForwardPass forward = model::forward(pass(), groups, {true, true, false});
  model::BackwardRequest request;
  request.depth = model::BackwardRequest::Depth::patches;
  request.feature_gradient = forward.features;
  EXPECT_ERROR(model::backward(pass(), forward, request), "images of one size");
}

}  // namespace
}  // namespace vitsnna
