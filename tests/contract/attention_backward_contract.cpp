// Contract of the attention backward: the gradient of every label, in either order of summation.
#include "tests/contract/attention_operands.h"

namespace vitsnna::contract {
namespace {

VITSNNA_CONTRACT(AttentionBackwardContract);

/// `factor` times the usual tolerance.
void expect_gradients(const Outputs& got, const AttentionShape& s, index_t gradients,
                      const BackwardOperands& v, DType precision, double factor = 1.) {
  const AttentionOperands& f = v.forward;
  const auto want = oracle::attention_backward<double>(s, gradients, f.query, f.key, f.value,
                                                       v.output, v.output_gradient, precision);
  const auto naive = oracle::attention_backward<float>(s, gradients, f.query, f.key, f.value,
                                                       v.output, v.output_gradient, precision);
  const double slope = factor * largest_row_norm(v.output_gradient, s.heads * s.head_dim);
  expect_close("query_gradient", got[0], want.query, naive.query, slope, precision);
  expect_close("key_gradient", got[1], want.key, naive.key, slope, precision);
  expect_close("value_gradient", got[2], want.value, naive.value, slope, precision);
}

TEST_P(AttentionBackwardContract, IsTheGradientForEveryLabel) {
  std::vector<AttentionShape> shapes(std::begin(attention_shapes), std::end(attention_shapes));
  shapes.insert(shapes.end(), {{2, 1, 64, 1, 70}, {1, 2, 128, 1, 40}, {1, 2, 72, 1, 9}});
  for (const AttentionShape& s : shapes) {
    for (const index_t gradients : {1, 2, 3}) {
      if (gradients == 2 && s.num_queries > 100) continue;
      SCOPED_TRACE(text(s) + ", " + std::to_string(gradients) + " gradients");
      const BackwardOperands v = backward_operands(s, gradients, precision());
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        return backward(subject(), s, gradients, v, nullptr, threads);
      });
      expect_gradients(got, s, gradients, v, precision());
    }
  }
}

TEST_P(AttentionBackwardContract, LabelsThatShareABlockHaveTheBitsOfEachAlone) {
  // A backend may take several labels at once where there are enough of them.
  struct Case {
    AttentionShape shape;
    index_t gradients;
  };
  const Case cases[] = {{{6, 8, 8, 20, 5}, 3},
                        {{6, 8, 64, 20, 5}, 3},
                        {{6, 8, 128, 20, 5}, 3},
                        {{2, 6, 40, 130, 70}, 6}};
  for (const Case& c : cases) {
    const AttentionShape& s = c.shape;
    const index_t gradients = c.gradients;
    const BackwardOperands v = backward_operands(s, gradients, precision());
    const Outputs together = backward(subject(), s, gradients, v, nullptr, 1);
    for (const index_t g : {index_t{1}, gradients - 1}) {
      SCOPED_TRACE(text(s) + ", gradient " + std::to_string(g));
      const auto of_label = [&](const Values& all) {
        Values result;
        for (index_t item = 0; item < s.items; ++item) {
          const Values one = part(all, s.items * gradients, item * gradients + g);
          result.insert(result.end(), one.begin(), one.end());
        }
        return result;
      };
      BackwardOperands alone = v;
      alone.output_gradient = of_label(v.output_gradient);
      const Outputs got = backward(subject(), s, 1, alone, nullptr, 1);
      for (std::size_t k = 0; k < 3; ++k) {
        EXPECT_TRUE(same_bits(got[k], of_label(together[k]))) << "output " << k;
      }
    }
  }
}

TEST_P(AttentionBackwardContract, WithoutAFixedOrderOnlyTheLastBitsOfTheQueryGradientDiffer) {
  for (const AttentionShape& s : attention_shapes) {
    const index_t gradients = s.num_keys > 50 ? 1 : 2;
    SCOPED_TRACE(text(s) + ", " + std::to_string(gradients) + " gradients");
    const BackwardOperands v = backward_operands(s, gradients, precision());
    const Outputs fixed = backward(subject(), s, gradients, v, nullptr, 1);
    const Outputs got = backward(subject(), s, gradients, v, nullptr, 1, false);
    EXPECT_TRUE(same_bits(got[1], fixed[1])) << "key_gradient";
    EXPECT_TRUE(same_bits(got[2], fixed[2])) << "value_gradient";
    expect_gradients(got, s, gradients, v, precision());
  }
}

TEST_P(AttentionBackwardContract, SurvivesScoresFarBelowZero) {
  // What a kernel computes past the last key has a score of 0, and exp(0 - log_sum_exp) overflows.
  for (const AttentionShape& s : {AttentionShape{1, 1, 32, 40, 5}, AttentionShape{1, 1, 64, 5, 70},
                                  AttentionShape{1, 1, 96, 5, 9}}) {
    BackwardOperands v = backward_operands(s, 1, precision());
    const auto shifted = [&](Values& values, float shift) {
      for (double& x : values) {
        x = static_cast<double>(oracle::stored(static_cast<float>(x) / 8.f + shift, precision()));
      }
    };
    shifted(v.forward.query, 6.f);
    shifted(v.forward.key, -6.f);
    const auto p = oracle::probabilities<double>(s, v.forward.query, v.forward.key);
    ASSERT_LT(*std::max_element(p.log_sum_exp.begin(), p.log_sum_exp.end()), -100.);
    v.log_sum_exp = p.log_sum_exp;
    v.output = oracle::rounded(
        oracle::attention_output<double>(s, p.attention, v.forward.value, {}, {}, precision()),
        precision());
    for (const bool deterministic : {true, false}) {
      SCOPED_TRACE(text(s) + (deterministic ? "" : ", in any order"));
      const Outputs got = backward(subject(), s, 1, v, nullptr, 1, deterministic);
      // A score of hundreds carries its own rounding into the exponential, and the operands are as
      // much larger than their differences.
      expect_gradients(got, s, 1, v, precision(), 1. + largest(p.log_sum_exp));
    }
  }
}

TEST_P(AttentionBackwardContract, MatchesFiniteDifferences) {
  if (precision() != DType::f32) GTEST_SKIP() << "bf16 is too coarse for finite differences";
  for (const AttentionShape& s : {AttentionShape{2, 2, 8, 5, 5}, AttentionShape{1, 2, 8, 1, 9}}) {
    SCOPED_TRACE(text(s));
    const BackwardOperands v = backward_operands(s, 1, precision());
    const Outputs got = backward(subject(), s, 1, v, nullptr, 1);
    const auto loss = [&](const Values& q, const Values& k, const Values& value) {
      const auto p = oracle::probabilities<double>(s, q, k);
      return dot(oracle::attention_output<double>(s, p.attention, value, {}, {}, DType::f32),
                 v.output_gradient);
    };
    const AttentionOperands& f = v.forward;
    expect_derivative(
        "d query", [&](const Values& x) { return loss(x, f.key, f.value); }, f.query, got[0]);
    expect_derivative(
        "d key", [&](const Values& x) { return loss(f.query, x, f.value); }, f.key, got[1]);
    expect_derivative(
        "d value", [&](const Values& x) { return loss(f.query, f.key, x); }, f.value, got[2]);
  }
}

}  // namespace
}  // namespace vitsnna::contract
