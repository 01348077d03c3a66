// A batch divided among ranks is the batch of one process: loss, centre, gradients and weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "engine/io/safetensors.h"
#include "tests/parallel/launch.h"
#include "tests/support/relative_error.h"

namespace vitsnna::test {
namespace {

// Sums over images taken in another order: fp32 rounding of some hundred terms, a few layers deep.
constexpr double kTolerance = 2e-5;
// Adam's step is a gradient divided by its own size, to which rounding counts for more.
constexpr double kWeightTolerance = 1e-4;
constexpr double kLearningRate = 1e-3;
constexpr int kSteps = 3;

/// A softmax does not see what is added to all scores of a row, so the gradient of the keys' bias
/// is rounding alone and Adam moves it by up to the learning rate a step, either way.
void expect_near_key_bias(const std::vector<float>& found, const std::vector<float>& wanted,
                          const std::string& name) {
  const std::size_t third = wanted.size() / 3;
  for (std::size_t i = third; i < 2 * third; ++i) {
    EXPECT_NEAR(found[i], wanted[i], 2.1 * kLearningRate * kSteps) << name << " " << i;
  }
}

std::vector<float> without_key_bias(const std::vector<float>& values) {
  const auto third = static_cast<std::ptrdiff_t>(values.size() / 3);
  std::vector<float> rest(values.begin(), values.begin() + third);
  rest.insert(rest.end(), values.begin() + 2 * third, values.end());
  return rest;
}

class DinoRanks : public testing::Test {
 protected:
  std::string file(int ranks, int parts, const std::string& run = "") {
    const auto path = directory_ / (std::to_string(ranks) + "x" + std::to_string(parts) + run);
    const Outcome outcome = launch(ranks, VITSNNA_RANKS, {std::to_string(parts), path.string()});
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return path.string();
  }

  /// The worst relative error of tensors of that prefix.
  static double worst(const engine::TensorFile& found, const engine::TensorFile& wanted,
                      const std::string& prefix) {
    const bool weights = prefix == "student/" || prefix == "teacher/";
    double error = 0;
    for (const auto& [name, tensor] : wanted.tensors) {
      if (!name.starts_with(prefix)) continue;
      std::vector<float> a = found.at(name).to_floats(), b = tensor.to_floats();
      if (weights && name.ends_with("attn.qkv.bias")) {
        expect_near_key_bias(a, b, name);
        a = without_key_bias(a);
        b = without_key_bias(b);
      }
      const double one = relative_error(a, b);
      EXPECT_LT(one, weights ? kWeightTolerance : kTolerance) << name;
      error = std::max(error, one);
    }
    return error;
  }

  TempDirectory directory_;
};

TEST_F(DinoRanks, EqualOneProcess) {
  VITSNNA_SKIP_WITHOUT_MPI();
  const engine::TensorFile alone = engine::read_safetensors(file(1, 1));
  for (const auto& [ranks, parts] : {std::pair{2, 1}, {4, 1}, {2, 2}}) {
    const engine::TensorFile spread = engine::read_safetensors(file(ranks, parts));
    ASSERT_EQ(spread.tensors.size(), alone.tensors.size());
    std::cout << ranks << " ranks, " << parts << " parts:";
    for (const char* what : {"monitors", "centre", "gradients/", "student/", "teacher/"}) {
      std::cout << " " << what << " " << worst(spread, alone, what);
    }
    std::cout << "\n";
  }
}

TEST_F(DinoRanks, HaveTheSameBitsInEveryRun) {
  VITSNNA_SKIP_WITHOUT_MPI();
  EXPECT_EQ(read_bytes(file(4, 1, "a")), read_bytes(file(4, 1, "b")));
}

TEST_F(DinoRanks, AllSeeWhoseLossIsNotANumber) {
  VITSNNA_SKIP_WITHOUT_MPI();
  const auto path = directory_ / "none";
  const Outcome outcome = launch(4, VITSNNA_RANKS, {"0", path.string()});
  EXPECT_NE(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find(" of 4 on "), std::string::npos) << outcome;
  EXPECT_NE(outcome.err.find("the loss of rank 3 is not a number"), std::string::npos) << outcome;
}

TEST_F(DinoRanks, RefuseABatchThatDoesNotDivide) {
  VITSNNA_SKIP_WITHOUT_MPI();
  const auto path = directory_ / "none";
  const Outcome outcome = launch(3, VITSNNA_RANKS, {"1", path.string()});
  EXPECT_NE(outcome.exit_code, 0) << outcome;
  EXPECT_NE(outcome.err.find("a batch of 4 images over 3 ranks"), std::string::npos) << outcome;
}

}  // namespace
}  // namespace vitsnna::test
