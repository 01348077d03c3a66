// Contract of the relevance chain: a layer's rows, alone, inside the backward, and from the CLS
// row.
#include "tests/contract/relevance_operands.h"

namespace vitsnna::contract {
namespace {

VITSNNA_CONTRACT(RelevanceContract);

struct RelevanceShape {
  index_t heads, head_dim, tokens, gradients;
  std::size_t chains = 5;
};
const RelevanceShape relevance_shapes[] = {{1, 8, 1, 1},
                                           {2, 32, 2, 2},
                                           {3, 64, 33, 3},
                                           {1, 96, 33, 1},
                                           {2, 64, 197, 1},
                                           {1, 8, 530, 2},
                                           {1, 128, 40, 2},
                                           {2, 64, 20, 3, 37},
                                           // Labels enough that a backend may let them share:
                                           {8, 32, 20, 17, 21},
                                           {8, 64, 20, 17, 21}};

/// Expected outputs of the chains; without gradients (rollout) G is 1.
template <class T>
Outputs expected_relevance(const AttentionShape& s, index_t gradients, const BackwardOperands& v,
                           const std::vector<oracle::Chain>& chains, bool rollout) {
  const auto attention = oracle::probabilities<T>(s, v.forward.query, v.forward.key).attention;
  const Values gradient =
      rollout ? Values{}
              : oracle::attention_gradient<T>(s, gradients, v.forward.value, v.output_gradient);
  Outputs result;
  for (const oracle::Chain& chain : chains) {
    result.push_back(
        oracle::relevance<T>(chain, attention, gradient, s.heads, s.num_queries, s.num_keys));
  }
  return result;
}

/// Magnitude of what a chain sums: column sums of A |row| |weights| times the largest G.
double relevance_scale(const RelevanceShape& shape) {
  return 2. * std::sqrt(static_cast<double>(shape.head_dim) * static_cast<double>(shape.tokens));
}

void expect_chains(const Outputs& got, const Outputs& want, const Outputs& naive, double scale) {
  for (std::size_t k = 0; k < want.size(); ++k) {
    expect_close(("chain " + std::to_string(k)).c_str(), got[k], want[k], naive[k], scale);
  }
}

TEST_P(RelevanceContract, RelevanceRowsMultiplyByTheLayersMatrix) {
  for (const RelevanceShape& shape : relevance_shapes) {
    const index_t heads = shape.heads, head_dim = shape.head_dim, tokens = shape.tokens,
                  gradients = shape.gradients;
    const AttentionShape s{1, heads, head_dim, tokens, tokens};
    for (const bool rollout : {false, true}) {
      SCOPED_TRACE(text(s) + ", " + std::to_string(gradients) + " gradients, " +
                   std::to_string(shape.chains) + " chains, rollout " + std::to_string(rollout));
      const BackwardOperands v = backward_operands(s, gradients, precision());
      const auto chains = random_chains(heads, tokens, gradients, shape.chains);
      const index_t width = heads * head_dim;
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const Layout layout = third(1, tokens, width, precision());
        const auto query = Operand::input(subject(), layout, v.forward.query);
        const auto key = Operand::input(subject(), layout, v.forward.key);
        const auto value = Operand::input(subject(), layout, v.forward.value);
        const auto sums = Operand::input(subject(), dense(heads * tokens), v.log_sum_exp);
        const auto slope = Operand::input(subject(), strided(gradients, tokens, width, precision()),
                                          v.output_gradient);
        const DeviceChains device(subject(), chains, tokens);
        RelevanceRows a;
        a.heads = heads;
        a.head_dim = head_dim;
        a.num_tokens = tokens;
        a.gradients = gradients;
        a.query = query.matrix();
        a.key = key.matrix();
        a.value = value.matrix();
        a.log_sum_exp = sums.floats();
        if (!rollout) a.output_gradient = slope.matrix();
        a.chains = device.data();
        a.num_chains = device.size();
        launch(subject(), backend().relevance_rows, a, threads);
        return device.outputs();
      });
      expect_chains(got, expected_relevance<double>(s, gradients, v, chains, rollout),
                    expected_relevance<float>(s, gradients, v, chains, rollout),
                    relevance_scale(shape));
    }
  }
}

TEST_P(RelevanceContract, BackwardCapturesTheSameRelevanceRows) {
  for (const RelevanceShape& shape : relevance_shapes) {
    const index_t heads = shape.heads, head_dim = shape.head_dim, tokens = shape.tokens,
                  gradients = shape.gradients;
    const AttentionShape s{1, heads, head_dim, tokens, tokens};
    SCOPED_TRACE(text(s) + ", " + std::to_string(gradients) + " gradients, " +
                 std::to_string(shape.chains) + " chains");
    const BackwardOperands v = backward_operands(s, gradients, precision());
    const auto chains = random_chains(heads, tokens, gradients, shape.chains);
    const Outputs plain = backward(subject(), s, gradients, v, nullptr, 1);
    const Outputs got = run_on_every_team(subject(), [&](int threads) {
      const DeviceChains device(subject(), chains, tokens);
      RelevanceRows capture;  // query, key, value and the gradients are the backward's own
      capture.heads = heads;
      capture.head_dim = head_dim;
      capture.num_tokens = tokens;
      capture.gradients = gradients;
      capture.chains = device.data();
      capture.num_chains = device.size();
      Outputs outputs = backward(subject(), s, gradients, v, &capture, threads);
      for (Values& row : device.outputs()) outputs.push_back(std::move(row));
      return outputs;
    });
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_TRUE(same_bits(got[k], plain[k])) << "capturing changed gradient " << k;
    }
    expect_chains(
        {got.begin() + 3, got.end()}, expected_relevance<double>(s, gradients, v, chains, false),
        expected_relevance<float>(s, gradients, v, chains, false), relevance_scale(shape));
  }
}

TEST_P(RelevanceContract, RelevanceOfTheClsRowIsTheFirstStep) {
  for (const RelevanceShape& shape : relevance_shapes) {
    const index_t heads = shape.heads, tokens = shape.tokens, gradients = shape.gradients;
    for (const bool rollout : {false, true}) {
      SCOPED_TRACE(testing::Message()
                   << heads << " heads, " << tokens << " tokens, " << gradients << " gradients, "
                   << shape.chains << " chains, rollout " << rollout);
      Values attention = random_values(heads * tokens, 40);
      for (double& v : attention) v = std::abs(v);
      const Values gradient = rollout ? Values{} : random_values(gradients * heads * tokens, 41);
      const auto chains = random_chains(heads, tokens, gradients, shape.chains);
      const Outputs got = run_on_every_team(subject(), [&](int threads) {
        const auto a_row = Operand::input(subject(), dense(heads * tokens), attention);
        const auto g_row =
            Operand::input(subject(), dense(static_cast<index_t>(gradient.size())), gradient);
        const DeviceChains device(subject(), chains, tokens);
        RelevanceClsRow a;
        a.heads = heads;
        a.num_tokens = tokens;
        a.attention = a_row.floats();
        a.attention_gradient = rollout ? nullptr : g_row.floats();
        a.chains = device.data();
        a.num_chains = device.size();
        launch(subject(), backend().relevance_cls_row, a, threads);
        return device.outputs();
      });
      Outputs want, naive;
      for (const oracle::Chain& chain : chains) {
        want.push_back(oracle::relevance<double>(chain, attention, gradient, heads, 1, tokens));
        naive.push_back(oracle::relevance<float>(chain, attention, gradient, heads, 1, tokens));
      }
      expect_chains(got, want, naive, 2.);
    }
  }
}

}  // namespace
}  // namespace vitsnna::contract
