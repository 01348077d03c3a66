// The oracles' gradients against finite differences of their own forwards, and their formulas
// against values worked out by hand.
#include "tests/contract/check.h"
#include "tests/oracle/attention.h"
#include "tests/oracle/images.h"
#include "tests/oracle/linear.h"
#include "tests/oracle/tokens.h"

namespace vitsnna::oracle {
namespace {

using contract::dot;
using contract::expect_derivative;
using contract::random_values;

TEST(Oracle, LinearGradientsMatchFiniteDifferences) {
  kernels::Linear forward;
  forward.items = 2;
  forward.rows = 3;
  forward.weight.out_features = 5;
  forward.weight.in_features = 4;
  forward.epilogue = kernels::Epilogue::gelu;
  LinearOperands v;
  v.input = random_values(2 * 3 * 4, 1);
  v.weight = random_values(5 * 4, 2);
  v.bias = random_values(5, 3);
  const Values slope = random_values(2 * 3 * 5, 4);
  const LinearResult result = linear<double>(forward, v);

  // The slope at the pre-activation: (dy I) * gelu'(t), an identity standing for the next layer.
  kernels::Linear through = forward;
  through.weight = {};
  through.weight.out_features = through.weight.in_features = 5;
  through.weight.transposed = true;
  through.epilogue = kernels::Epilogue::gelu_backward;
  through.auxiliary_items = 2;
  LinearOperands back;
  back.input = slope;
  back.weight = zeros(25);
  for (index_t k = 0; k < 5; ++k) put(back.weight, 6 * k, 1.);
  back.auxiliary = result.pre_activation;
  const Values inner_slope = linear<double>(through, back).output;

  kernels::Linear to_input = forward;
  to_input.weight.transposed = true;
  to_input.epilogue = kernels::Epilogue::none;
  LinearOperands w;
  w.input = inner_slope;
  w.weight = v.weight;
  const auto loss = [&](const LinearOperands& x) {
    return dot(linear<double>(forward, x).output, slope);
  };
  const auto with = [&](Values LinearOperands::*member) {
    return [&, member](const Values& x) {
      LinearOperands moved = v;
      moved.*member = x;
      return loss(moved);
    };
  };
  expect_derivative("input", with(&LinearOperands::input), v.input,
                    linear<double>(to_input, w).output);
  kernels::LinearWeightGradient gradient;
  gradient.items = 2;
  gradient.rows = 3;
  gradient.out_features = 5;
  gradient.in_features = 4;
  const auto d = linear_weight_gradient<double>(gradient, v.input, inner_slope);
  expect_derivative("weight", with(&LinearOperands::weight), v.weight, d.weight);
  expect_derivative("bias", with(&LinearOperands::bias), v.bias, d.bias);
}

TEST(Oracle, LayerNormGradientsMatchFiniteDifferences) {
  kernels::LayerNorm forward;
  forward.items = 2;
  forward.rows = 3;
  forward.columns = 7;
  const Values x = random_values(42, 1), gain = random_values(7, 2), shift = random_values(7, 3);
  const Values slope = random_values(42, 4);
  kernels::LayerNormBackward backward;
  backward.items = backward.input_items = 2;
  backward.rows = 3;
  backward.columns = 7;
  const auto d = layer_norm_backward<double>(backward, x, gain, slope);
  const auto loss = [&](const Values& a, const Values& g, const Values& b) {
    return dot(layer_norm<double>(forward, a, g, b), slope);
  };
  expect_derivative(
      "input", [&](const Values& v) { return loss(v, gain, shift); }, x, d.input);
  expect_derivative(
      "gain", [&](const Values& v) { return loss(x, v, shift); }, gain, d.gain);
  expect_derivative(
      "shift", [&](const Values& v) { return loss(x, gain, v); }, shift, d.shift);
}

TEST(Oracle, SeveralGradientsShareTheirInput) {
  kernels::LayerNormBackward shared;
  shared.items = 3;
  shared.input_items = 1;
  shared.rows = 2;
  shared.columns = 5;
  const Values x = random_values(10, 1), gain = random_values(5, 2), slope = random_values(30, 3);
  const auto together = layer_norm_backward<double>(shared, x, gain, slope);
  shared.items = 1;
  for (index_t g = 0; g < 3; ++g) {
    const auto alone = layer_norm_backward<double>(shared, x, gain, contract::part(slope, 3, g));
    EXPECT_EQ(alone.input, contract::part(together.input, 3, g));
  }
}

TEST(Oracle, AttentionGradientsMatchFiniteDifferences) {
  for (const kernels::AttentionShape& s :
       {kernels::AttentionShape{2, 2, 4, 5, 5}, kernels::AttentionShape{1, 1, 8, 2, 7}}) {
    const index_t width = s.heads * s.head_dim;
    const Values q = random_values(s.items * s.num_queries * width, 1);
    const Values k = random_values(s.items * s.num_keys * width, 2);
    const Values v = random_values(s.items * s.num_keys * width, 3);
    const Values slope = random_values(s.items * s.num_queries * width, 4);
    const auto output = [&](const Values& a, const Values& b, const Values& c) {
      return attention_output<double>(s, probabilities<double>(s, a, b).attention, c, {}, {},
                                      DType::f32);
    };
    const auto d = attention_backward<double>(s, 1, q, k, v, output(q, k, v), slope, DType::f32);
    const auto loss = [&](const Values& a, const Values& b, const Values& c) {
      return dot(output(a, b, c), slope);
    };
    expect_derivative(
        "query", [&](const Values& x) { return loss(x, k, v); }, q, d.query);
    expect_derivative(
        "key", [&](const Values& x) { return loss(q, x, v); }, k, d.key);
    expect_derivative(
        "value", [&](const Values& x) { return loss(q, k, x); }, v, d.value);
    // G is the derivative by A itself.
    const Values attention = probabilities<double>(s, q, k).attention;
    expect_derivative(
        "attention",
        [&](const Values& a) {
          return dot(attention_output<double>(s, a, v, {}, {}, DType::f32), slope);
        },
        attention, attention_gradient<double>(s, 1, v, slope));
  }
}

TEST(Oracle, RelevanceIsTheRowTimesTheLayersMatrix) {
  // (C + I) written out, C = mean_h A w_j relu(G), and the row multiplied by it.
  constexpr index_t heads = 2, n = 3;
  const Values attention = random_values(heads * n * n, 1),
               gradient = random_values(heads * n * n, 2);
  Chain chain;
  chain.row = random_values(n, 3);
  chain.key_weight = random_values(n, 4);
  const Values got = relevance<double>(chain, attention, gradient, heads, n, n);
  for (index_t j = 0; j < n; ++j) {
    double sum = 0.;
    for (index_t i = 0; i < n; ++i) {
      double c = i == j ? 1. : 0.;
      for (index_t h = 0; h < heads; ++h) {
        const index_t pair = (h * n + i) * n + j;
        c += at(attention, pair) * at(chain.key_weight, j) * std::max(0., at(gradient, pair)) / 2.;
      }
      sum += at(chain.row, i) * c;
    }
    EXPECT_NEAR(at(got, j), sum, 1e-14);
  }
}

TEST(Oracle, ValueNormOfAnIdentityProjectionIsTheNormOfTheValue) {
  kernels::ValueNorm a;
  a.rows = 1;
  a.heads = 2;
  a.head_dim = 2;
  a.projection.out_features = 4;
  Values identity = zeros(16);
  for (index_t k = 0; k < 4; ++k) put(identity, 5 * k, 1.);
  const auto norms = value_norm<double>(a, {3., 4., 5., 12.}, identity);
  EXPECT_DOUBLE_EQ(at(norms.per_head, 0), 5.);
  EXPECT_DOUBLE_EQ(at(norms.per_head, 1), 13.);
  EXPECT_DOUBLE_EQ(at(norms.norm, 0), std::sqrt(25. + 169.));
}

TEST(Oracle, UnpatchifyIsTheTransposeOfPatchify) {
  kernels::Patchify forward;
  forward.items = 2;
  forward.channels = 2;
  forward.height = 7;
  forward.width = 10;
  forward.patch_size = 3;
  forward.grid_height = 2;
  forward.grid_width = 3;
  forward.image_stride = 140;
  PatchifyOperands v;
  v.image = random_values(280, 1);
  const Values slope = random_values(2 * 6 * 18, 2);
  kernels::UnpatchifyGradient backward;
  backward.items = 2;
  backward.channels = 2;
  backward.height = 7;
  backward.width = 10;
  backward.patch_size = 3;
  backward.grid_height = 2;
  backward.grid_width = 3;
  EXPECT_NEAR(dot(patchify<double>(forward, v), slope),
              dot(v.image, unpatchify_gradient<double>(backward, slope, {})), 1e-12);
}

TEST(Oracle, CubicWeightsSumToOneAndReachTheSourceAtWholeCoordinates) {
  for (const double x : {0., .1, .5, .99}) {
    double sum = 0.;
    for (double tap = -1.; tap <= 2.; ++tap) sum += cubic(x - tap);
    EXPECT_NEAR(sum, 1., 1e-14);
  }
  EXPECT_EQ(cubic(0.), 1.);
  EXPECT_EQ(cubic(1.), 0.);
}

}  // namespace
}  // namespace vitsnna::oracle
