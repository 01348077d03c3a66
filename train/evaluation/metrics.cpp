// Counts, rank sums and means behind the scores.
#include "train/evaluation/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "kernels/error.h"

namespace vitsnna::train {

namespace {

/// One label's probability and truth.
struct Sample {
  float probability;
  bool positive;
};

struct Counts {
  index_t true_positive = 0, false_positive = 0, false_negative = 0, true_negative = 0;

  void add(bool predicted, bool positive) {
    if (predicted) {
      ++(positive ? true_positive : false_positive);
    } else {
      ++(positive ? false_negative : true_negative);
    }
  }
  double f1() const {
    const index_t denominator = 2 * true_positive + false_positive + false_negative;
    return denominator ? 2. * static_cast<double>(true_positive) / static_cast<double>(denominator)
                       : 0.;
  }
};

double ratio(index_t part, index_t whole) {
  return whole ? static_cast<double>(part) / static_cast<double>(whole) : 0.;
}

void check(const LabelledProbabilities& given) {
  const auto wanted = static_cast<std::size_t>(given.items * given.labels);
  if (given.items < 1 || given.labels < 1 || given.probabilities.size() != wanted ||
      given.targets.size() != wanted) {
    throw Error("evaluation: " + std::to_string(given.items) + " items of " +
                std::to_string(given.labels) + " labels, " +
                std::to_string(given.probabilities.size()) + " probabilities and " +
                std::to_string(given.targets.size()) + " targets found");
  }
  for (std::size_t i = 0; i < wanted; ++i) {
    if (!std::isfinite(given.probabilities[i])) {
      throw Error("evaluation: the probability of item " +
                  std::to_string(i / static_cast<std::size_t>(given.labels)) + ", label " +
                  std::to_string(i % static_cast<std::size_t>(given.labels)) + " is not finite");
    }
  }
}

std::vector<Sample> samples_of(const LabelledProbabilities& given, index_t label) {
  std::vector<Sample> samples;
  samples.reserve(static_cast<std::size_t>(given.items));
  for (index_t item = 0; item < given.items; ++item) {
    const auto at = static_cast<std::size_t>(item * given.labels + label);
    samples.push_back({given.probabilities[at], given.targets[at] >= .5f});
  }
  return samples;
}

LabelScores scores_of(const Counts& counts) {
  LabelScores scores;
  scores.positives = counts.true_positive + counts.false_negative;
  scores.items = scores.positives + counts.false_positive + counts.true_negative;
  scores.precision = ratio(counts.true_positive, counts.true_positive + counts.false_positive);
  scores.recall = ratio(counts.true_positive, scores.positives);
  scores.f1 = counts.f1();
  scores.accuracy = ratio(counts.true_positive + counts.true_negative, scores.items);
  return scores;
}

/// Mann-Whitney: the positives' rank sum, ties at their mean rank.
double area_under_curve(std::vector<Sample> samples) {
  std::sort(samples.begin(), samples.end(),
            [](const Sample& a, const Sample& b) { return a.probability < b.probability; });
  double rank_sum = 0, positives = 0;
  for (std::size_t first = 0; first < samples.size();) {
    std::size_t end = first;
    double tied_positives = 0;
    while (end < samples.size() && samples[end].probability == samples[first].probability) {
      tied_positives += samples[end++].positive ? 1. : 0.;
    }
    rank_sum += tied_positives * static_cast<double>(first + end + 1) / 2.;
    positives += tied_positives;
    first = end;
  }
  const double negatives = static_cast<double>(samples.size()) - positives;
  if (positives == 0 || negatives == 0) return std::numeric_limits<double>::quiet_NaN();
  return (rank_sum - positives * (positives + 1) / 2.) / (positives * negatives);
}

/// Fills the means from the labels' scores.
LabelReport with_means(std::vector<LabelScores> labels) {
  LabelReport report;
  report.labels = std::move(labels);
  double areas = 0;
  index_t defined = 0;
  const auto count = static_cast<double>(report.labels.size());
  for (const LabelScores& scores : report.labels) {
    report.mean_f1 += scores.f1 / count;
    report.mean_accuracy += scores.accuracy / count;
    if (std::isnan(scores.auc)) continue;
    areas += scores.auc;
    ++defined;
  }
  report.mean_auc =
      defined ? areas / static_cast<double>(defined) : std::numeric_limits<double>::quiet_NaN();
  return report;
}

float best_threshold(std::vector<Sample> samples) {
  std::sort(samples.begin(), samples.end(),
            [](const Sample& a, const Sample& b) { return a.probability < b.probability; });
  Counts counts;  // of the threshold below every probability: all predicted
  for (const Sample& sample : samples) counts.add(true, sample.positive);
  if (counts.true_positive == 0) return .5f;
  double best = counts.f1();
  float threshold = 0.f;
  for (std::size_t i = 0; i + 1 < samples.size(); ++i) {
    if (samples[i].positive) {
      --counts.true_positive;
      ++counts.false_negative;
    } else {
      --counts.false_positive;
      ++counts.true_negative;
    }
    const float here = samples[i].probability, next = samples[i + 1].probability;
    if (here == next || counts.f1() <= best) continue;
    best = counts.f1();
    threshold = here + (next - here) / 2.f;
    if (threshold <= here) threshold = next;  // neighbours in fp32: nothing lies between them
  }
  return threshold;
}

}  // namespace

LabelReport score(const LabelledProbabilities& given, std::span<const float> thresholds) {
  check(given);
  if (static_cast<index_t>(thresholds.size()) != given.labels) {
    throw Error("evaluation: " + std::to_string(thresholds.size()) + " thresholds found, " +
                std::to_string(given.labels) + " wanted");
  }
  std::vector<LabelScores> labels;
  for (index_t label = 0; label < given.labels; ++label) {
    const std::vector<Sample> samples = samples_of(given, label);
    Counts counts;
    for (const Sample& sample : samples) {
      counts.add(sample.probability >= thresholds[static_cast<std::size_t>(label)],
                 sample.positive);
    }
    labels.push_back(scores_of(counts));
    labels.back().auc = area_under_curve(samples);
  }
  return with_means(std::move(labels));
}

LabelReport score_constant(const LabelledProbabilities& given) {
  check(given);
  std::vector<LabelScores> labels;
  for (index_t label = 0; label < given.labels; ++label) {
    std::vector<Sample> samples = samples_of(given, label);
    const auto positives = std::count_if(samples.begin(), samples.end(),
                                         [](const Sample& sample) { return sample.positive; });
    const bool predicted = 2 * positives > static_cast<std::ptrdiff_t>(samples.size());
    Counts counts;
    for (Sample& sample : samples) {
      counts.add(predicted, sample.positive);
      sample.probability = 0.f;
    }
    labels.push_back(scores_of(counts));
    labels.back().auc = area_under_curve(std::move(samples));
  }
  return with_means(std::move(labels));
}

std::vector<float> tune_thresholds(const LabelledProbabilities& given) {
  check(given);
  std::vector<float> thresholds;
  for (index_t label = 0; label < given.labels; ++label) {
    thresholds.push_back(best_threshold(samples_of(given, label)));
  }
  return thresholds;
}

}  // namespace vitsnna::train
