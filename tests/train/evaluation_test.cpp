// Scores against values worked out by hand and by definition.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support/expect_error.h"
#include "train/evaluation/metrics.h"
#include "train/evaluation/nearest_neighbours.h"

namespace vitsnna {
namespace {

using train::LabelledProbabilities;
using train::LabelReport;

TEST(Metrics, OfAHandWorkedExample) {
  // Label 0: predicted 1 1 0 0, true 1 0 1 0. Label 1: never predicted, one positive.
  const std::vector<float> probabilities{.9f, .1f, .6f, .2f, .4f, .3f, .1f, .2f};
  const std::vector<float> targets{1, 0, 0, 1, 1, 0, 0, 0};
  const LabelledProbabilities given{4, 2, probabilities, targets};
  const LabelReport report = train::score(given, std::vector<float>{.5f, .5f});
  EXPECT_DOUBLE_EQ(report.labels[0].precision, .5);
  EXPECT_DOUBLE_EQ(report.labels[0].recall, .5);
  EXPECT_DOUBLE_EQ(report.labels[0].f1, .5);
  EXPECT_DOUBLE_EQ(report.labels[0].accuracy, .5);
  EXPECT_DOUBLE_EQ(report.labels[0].auc, .75);  // 3 of 4 pairs in order
  EXPECT_DOUBLE_EQ(report.labels[1].precision, 0);
  EXPECT_DOUBLE_EQ(report.labels[1].f1, 0);
  EXPECT_DOUBLE_EQ(report.labels[1].accuracy, .75);
  EXPECT_DOUBLE_EQ(report.labels[1].auc, .5);  // .1 below, .3 above, one tie at .2
  EXPECT_DOUBLE_EQ(report.mean_f1, .25);
  EXPECT_DOUBLE_EQ(report.mean_accuracy, .625);
  EXPECT_DOUBLE_EQ(report.mean_auc, .625);
  EXPECT_EQ(report.labels[0].positives, 2);
  EXPECT_EQ(report.labels[1].positives, 1);
}

TEST(Metrics, AThresholdIsMetByItsOwnValue) {
  const std::vector<float> probabilities{.5f, .25f}, targets{1, 0};
  const LabelReport report = train::score({2, 1, probabilities, targets}, std::vector<float>{.5f});
  EXPECT_DOUBLE_EQ(report.labels[0].f1, 1);
}

TEST(Metrics, HalfALabelIsOne) {
  const std::vector<float> probabilities{.9f, .1f}, targets{.5f, .25f};
  const LabelReport report = train::score({2, 1, probabilities, targets}, std::vector<float>{.5f});
  EXPECT_EQ(report.labels[0].positives, 1);
  EXPECT_DOUBLE_EQ(report.labels[0].auc, 1);
}

TEST(Metrics, AreaIsTheShareOfOrderedPairs) {
  std::mt19937 generator(5);
  std::vector<float> probabilities(300), targets(300);
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    targets[i] = generator() % 3 == 0 ? 1.f : 0.f;
    // Few values, so that many pairs tie.
    probabilities[i] = (static_cast<float>(generator() % 10) + 2.f * targets[i]) / 12.f;
  }
  double ordered = 0, pairs = 0;
  for (std::size_t p = 0; p < 300; ++p) {
    for (std::size_t n = 0; n < 300; ++n) {
      if (targets[p] < .5f || targets[n] > .5f) continue;
      pairs += 1;
      ordered += probabilities[p] > probabilities[n]    ? 1.
                 : probabilities[p] == probabilities[n] ? .5
                                                        : 0.;
    }
  }
  const LabelReport report =
      train::score({300, 1, probabilities, targets}, std::vector<float>{.5f});
  EXPECT_NEAR(report.labels[0].auc, ordered / pairs, 1e-12);
}

TEST(Metrics, OneSidedLabelsHaveNoArea) {
  const std::vector<float> probabilities{.2f, .9f, .4f, .8f}, targets{1, 1, 0, 1};
  const LabelReport report =
      train::score({2, 2, probabilities, targets}, std::vector<float>{.5f, .5f});
  EXPECT_DOUBLE_EQ(report.labels[0].auc, 0);
  EXPECT_TRUE(std::isnan(report.labels[1].auc));
  EXPECT_DOUBLE_EQ(report.mean_auc, 0);
}

TEST(Metrics, ConstantPredictorTakesTheMajority) {
  const std::vector<float> probabilities(8, .3f), targets{1, 0, 1, 0, 1, 1, 0, 0};
  const LabelReport report = train::score_constant({4, 2, probabilities, targets});
  EXPECT_DOUBLE_EQ(report.labels[0].accuracy, .75);
  EXPECT_DOUBLE_EQ(report.labels[0].recall, 1);
  EXPECT_DOUBLE_EQ(report.labels[0].auc, .5);
  EXPECT_DOUBLE_EQ(report.labels[1].accuracy, .75);
  EXPECT_DOUBLE_EQ(report.labels[1].f1, 0);
}

TEST(Metrics, TunedThresholdIsTheBestOfAll) {
  std::mt19937 generator(11);
  std::vector<float> probabilities(64), targets(64);
  for (std::size_t i = 0; i < 64; ++i) {
    targets[i] = generator() % 4 == 0 ? 1.f : 0.f;
    probabilities[i] = static_cast<float>(generator() % 1000) / 1500.f + .2f * targets[i];
  }
  const LabelledProbabilities given{64, 1, probabilities, targets};
  const double tuned = train::score(given, train::tune_thresholds(given)).mean_f1;
  for (const float threshold : probabilities) {
    EXPECT_LE(train::score(given, std::vector<float>{threshold}).mean_f1, tuned + 1e-12);
  }
  const std::vector<float> none(64, 0.f);
  EXPECT_EQ(train::tune_thresholds({64, 1, probabilities, none})[0], .5f);
}

TEST(Metrics, NameWhatDoesNotFit) {
  const std::vector<float> two{.5f, std::nanf("")}, targets{1, 0};
  EXPECT_ERROR(train::score({2, 1, two, targets}, std::vector<float>{.5f}), "item 1", "not finite");
  EXPECT_ERROR(train::score({1, 1, two, targets}, std::vector<float>{.5f}), "2 probabilities");
}

TEST(NearestNeighbours, AreTheDefinition) {
  const std::vector<float> bank{1, 0, 0, 2, -1, 0, 3, 3};
  const std::vector<float> targets{1, 0, 0, 1, 1, 1, 0, 0};
  const std::vector<float> queries{2, 0};
  const auto votes =
      train::vote({4, 2, bank}, targets, 2, {1, 2, queries}, {.neighbours = 2, .temperature = .5});
  // Nearest: item 0 (cosine 1), item 3 (cosine 1/sqrt 2).
  const double weight = std::exp((1 / std::sqrt(2.) - 1) / .5);
  EXPECT_NEAR(votes[0], 1 / (1 + weight), 1e-6);
  EXPECT_NEAR(votes[1], 0, 1e-6);
}

TEST(NearestNeighbours, DoNotDependOnThreads) {
  std::mt19937 generator(3);
  std::normal_distribution<float> normal;
  std::vector<float> bank(50 * 8), queries(17 * 8), targets(50 * 3);
  for (float& value : bank) value = normal(generator);
  for (float& value : queries) value = normal(generator);
  for (float& value : targets) value = static_cast<float>(generator() % 2);
  const auto run = [&](int threads) {
    return train::vote({50, 8, bank}, targets, 3, {17, 8, queries}, {.num_threads = threads});
  };
  EXPECT_EQ(run(1), run(3));
  EXPECT_ERROR(train::vote({50, 8, bank}, targets, 2, {17, 8, queries}, {}), "150 targets");
}

}  // namespace
}  // namespace vitsnna
