// The ViT's forward, gradients and masked forwards against golden vectors computed in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <iostream>
#include <numeric>

#include "tests/support/golden_session.h"
#include "tests/support/relative_error.h"

namespace vitsnna {
namespace {

using engine::Tensor;
using kernels::DType;
using kernels::index_t;
using test::GoldenSession;
using test::relative_error;

constexpr double kTolerance = 1e-4;  // relative L2, fp32 against float64

/// BCE with logits, mean over all elements, and d loss / d logit.
struct BinaryCrossEntropy {
  BinaryCrossEntropy(const std::vector<float>& logits, const std::vector<float>& labels)
      : gradient(logits.size()) {
    const auto count = static_cast<double>(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const auto logit = static_cast<double>(logits[i]);
      const auto label = static_cast<double>(labels[i]);
      value +=
          (std::max(logit, 0.) - logit * label + std::log1p(std::exp(-std::abs(logit)))) / count;
      gradient[i] = static_cast<float>((1. / (1. + std::exp(-logit)) - label) / count);
    }
  }
  double value = 0;
  std::vector<float> gradient;
};

class VitGolden : public testing::TestWithParam<std::filesystem::path> {
 protected:
  VitGolden() : session_(GetParam()) {}

  void expect_close(const std::vector<float>& found, const std::string& name) {
    ASSERT_TRUE(session_.has(name)) << name;
    const double error = relative_error(found, session_.array(name));
    worst_ = std::max(worst_, error);
    EXPECT_LT(error, kTolerance) << name;
  }
  void TearDown() override {
    RecordProperty("worst_relative_error", std::to_string(worst_));
    std::cout << "worst relative error " << worst_ << "\n";
  }

  GoldenSession session_;
  double worst_ = 0;
};

TEST_P(VitGolden, LogitsAndPositionEmbedding) {
  const model::ForwardInput input = session_.images();
  const model::GridEmbedding grid =
      model::embed_grid(session_.pass(), input.images.height, input.images.width);
  expect_close(session_.download(grid.position), "out/pos_embed");
  for (const bool record : {false, true}) {
    const model::ForwardPass forward =
        model::forward(session_.pass(), grid, input, session_.batch(), {record, false});
    expect_close(session_.download(forward.logits), "out/logits");
    if (!record) continue;
    const Tensor& tokens = forward.blocks.size() > 0 ? forward.blocks[0].input : forward.last.input;
    expect_close(session_.download(tokens), "out/tokens0");
    const Tensor rows = session_.arena.allocate(
        DType::f32, {session_.batch(), session_.vit.config().num_heads, grid.tokens()});
    model::cls_attention(session_.pass(), forward, session_.vit.config().depth - 1, rows);
    expect_close(session_.download(rows), "out/attn_cls_last");
  }
}

/// A head over the last n blocks reads exactly the final norm of each block's CLS.
TEST_P(VitGolden, ClsOfEveryBlock) {
  model::VitConfig config = session_.golden.checkpoint.config;
  config.num_classes = 0;
  config.head_blocks = config.depth;
  const model::Vit backbone(session_.queue, config, session_.golden.checkpoint.metadata,
                            session_.golden.checkpoint.tensors, DType::f32);
  const model::PassContext pass{backbone, session_.queue, session_.arena};
  const model::ForwardInput input = session_.images();
  const model::GridEmbedding grid =
      model::embed_grid(pass, input.images.height, input.images.width);
  const model::ForwardPass forward =
      model::forward(pass, grid, input, session_.batch(), {false, false});
  const std::vector<float> features = session_.download(forward.features);
  expect_close(features, "out/cls_per_block");
  std::vector<float> last4;
  const index_t row = config.depth * config.embed_dim;
  for (index_t item = 0; item < session_.batch(); ++item) {
    const auto end = features.begin() + (item + 1) * row;
    last4.insert(last4.end(), end - std::min<index_t>(4, config.depth) * config.embed_dim, end);
  }
  expect_close(last4, "out/cls_last4");
}

TEST_P(VitGolden, LossAndGradientOfTheImages) {
  const model::ForwardInput input = session_.images();
  const index_t batch = session_.batch();
  const model::GridEmbedding grid =
      model::embed_grid(session_.pass(), input.images.height, input.images.width);
  const model::ForwardPass forward =
      model::forward(session_.pass(), grid, input, batch, {true, false});
  const BinaryCrossEntropy loss(session_.download(forward.logits), session_.array("in/labels"));
  expect_close({static_cast<float>(loss.value)}, "out/bce_loss");

  model::BackwardRequest request;
  request.logit_gradient =
      session_.upload(loss.gradient, {batch, session_.vit.config().num_classes});
  request.depth = model::BackwardRequest::Depth::patches;
  const model::BackwardPass backward = model::backward(session_.pass(), forward, request);
  const auto& shape = session_.golden.file.at("in/images").shape;
  const Tensor pixels =
      session_.arena.allocate(DType::f32, {shape[0], shape[1], shape[2], shape[3]});
  session_.queue.zero(pixels.data, pixels.bytes());
  kernels::UnpatchifyGradient unpatchify;
  unpatchify.items = batch;
  unpatchify.channels = shape[1];
  unpatchify.height = shape[2];
  unpatchify.width = shape[3];
  unpatchify.patch_size = session_.vit.config().patch_size;
  unpatchify.grid_height = grid.height;
  unpatchify.grid_width = grid.width;
  unpatchify.patches_gradient = backward.patches_gradient.matrix();
  unpatchify.image_gradient = pixels.f32();
  session_.queue.backend().unpatchify_gradient(session_.queue.raw(), unpatchify);
  expect_close(session_.download(pixels), "out/grad_images");
}

/// out/grad/* is said to be the gradient of the BCE loss. Some files were written after a later
/// backward had replaced it by the gradient of logit `class_index` at image 0 + the last noise
/// tensor; a head bias whose gradient is a unit vector, which no BCE gives, tells them apart.
TEST_P(VitGolden, GradientsOfEveryParameter) {
  const auto class_index =
      static_cast<std::size_t>(std::stoll(session_.golden.file.metadata.at("class_index")));
  const std::vector<float> head_bias = session_.array("out/grad/head.bias");
  std::vector<float> unit(head_bias.size(), 0.f);
  unit[class_index] = 1.f;
  const bool of_logit = head_bias == unit;

  model::ForwardInput input = session_.images();
  const index_t batch = of_logit ? 1 : session_.batch();
  if (of_logit) {
    const auto& shape = session_.golden.file.at("in/noise").shape;
    const Tensor noise =
        session_.upload(session_.array("in/noise"), {shape[0], shape[1], shape[2], shape[3]});
    input.images.noise = noise.items(shape[0] - 1, 1).f32();
  }
  const model::GridEmbedding grid =
      model::embed_grid(session_.pass(), input.images.height, input.images.width);
  const model::ForwardPass forward =
      model::forward(session_.pass(), grid, input, batch, {true, true});
  const std::vector<float> logit_gradient =
      of_logit ? unit
               : BinaryCrossEntropy(session_.download(forward.logits), session_.array("in/labels"))
                     .gradient;
  const model::Parameters gradients(session_.queue, session_.vit.config());
  model::BackwardRequest request;
  request.logit_gradient =
      session_.upload(logit_gradient, {batch, session_.vit.config().num_classes});
  request.depth = model::BackwardRequest::Depth::patches;
  request.parameter_gradients = &gradients;
  model::backward(session_.pass(), forward, request);
  for (const auto& entry : gradients.table().entries()) {
    const float* values = gradients.data() + entry.offset;
    expect_close({values, values + entry.elements}, "out/grad/" + entry.name);
  }
}

/// Top fractions of the paper's SNNA map masked in each of SPEC section 3's ways.
TEST_P(VitGolden, MaskedForwards) {
  const std::vector<float> map = session_.array("out/explain/paper/snna");
  // Read as float64: .1 of 45 patches is 4.5, which rounds half to even; .1f of 45 is not.
  const engine::HostTensor& stored = session_.golden.file.at("in/mask_fractions");
  ASSERT_EQ(stored.type, engine::ElementType::f64);
  std::vector<double> fractions(static_cast<std::size_t>(stored.elements()));
  std::memcpy(fractions.data(), stored.bytes.data(), stored.bytes.size());
  const auto patches = static_cast<index_t>(map.size());
  const auto masks = static_cast<index_t>(fractions.size());
  std::vector<index_t> order(map.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) {
    return map[static_cast<std::size_t>(a)] > map[static_cast<std::size_t>(b)];
  });
  std::vector<std::uint8_t> patch_keep(static_cast<std::size_t>(masks * patches), 1);
  std::vector<std::uint8_t> token_keep(static_cast<std::size_t>(masks * (patches + 1)), 1);
  for (index_t mask = 0; mask < masks; ++mask) {
    const double count =
        std::nearbyint(fractions[static_cast<std::size_t>(mask)] * static_cast<double>(patches));
    for (index_t rank = 0; rank < static_cast<index_t>(count); ++rank) {
      const index_t patch = order[static_cast<std::size_t>(rank)];
      patch_keep[static_cast<std::size_t>(mask * patches + patch)] = 0;
      token_keep[static_cast<std::size_t>(mask * (patches + 1) + 1 + patch)] = 0;
    }
  }
  model::ForwardInput input = session_.images();
  input.images.image_stride = 0;  // image 0 in every item
  const std::vector<float> image = session_.array("in/images");
  const std::size_t plane = static_cast<std::size_t>(input.images.height * input.images.width);
  float fill[3];
  for (std::size_t channel = 0; channel < 3; ++channel) {
    const auto* begin = image.data() + channel * plane;
    fill[channel] =
        static_cast<float>(std::accumulate(begin, begin + plane, 0.) / static_cast<double>(plane));
  }
  const model::GridEmbedding grid =
      model::embed_grid(session_.pass(), input.images.height, input.images.width);
  const auto logits = [&](const model::ForwardInput& masked) {
    return session_.download(
        model::forward(session_.pass(), grid, masked, masks, {false, false}).logits);
  };
  model::ForwardInput pixel = input;
  pixel.images.patch_keep = patch_keep.data();
  pixel.images.fill = fill;
  expect_close(logits(pixel), "out/mask/pixel");
  model::ForwardInput token = input;
  token.token_keep = patch_keep.data();
  expect_close(logits(token), "out/mask/token");
  model::ForwardInput attention = input;
  attention.attention_keep = token_keep.data();
  expect_close(logits(attention), "out/mask/attention_paper");
  attention.attention_mask_first_block = true;
  expect_close(logits(attention), "out/mask/attention_authors");
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(VitGolden);
INSTANTIATE_TEST_SUITE_P(Files, VitGolden, testing::ValuesIn(test::golden_vits()),
                         [](const auto& file) { return file.param.stem().string(); });

TEST(VitGoldenFiles, ArePresent) {
  VITSNNA_SHARED_OR_SKIP(folder, "golden");
  EXPECT_FALSE(test::golden_vits().empty());
}

}  // namespace
}  // namespace vitsnna
