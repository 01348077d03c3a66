// cos(a, b) = a . b / (|a| |b|); vote = sum w_j t_j / sum w_j over the k nearest.
#include "train/evaluation/nearest_neighbours.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "kernels/error.h"

namespace vitsnna::train {

namespace {

void check(const FeatureSet& set, const char* what) {
  if (set.items < 1 || set.width < 1 ||
      static_cast<index_t>(set.features.size()) != set.items * set.width) {
    throw Error(std::string(what) + ": " + std::to_string(set.features.size()) +
                " numbers found for " + std::to_string(set.items) + " features of width " +
                std::to_string(set.width));
  }
}

/// Rows scaled to length 1.
std::vector<float> normalised(const FeatureSet& set) {
  std::vector<float> rows(set.features.begin(), set.features.end());
  for (index_t item = 0; item < set.items; ++item) {
    float* const row = rows.data() + item * set.width;
    double square = 0;
    for (index_t i = 0; i < set.width; ++i) square += static_cast<double>(row[i]) * row[i];
    const float scale = square > 0 ? static_cast<float>(1. / std::sqrt(square)) : 0.f;
    for (index_t i = 0; i < set.width; ++i) row[i] *= scale;
  }
  return rows;
}

}  // namespace

std::vector<float> vote(const FeatureSet& bank, std::span<const float> targets, index_t labels,
                        const FeatureSet& queries, const NeighbourVote& how) {
  check(bank, "neighbours' bank");
  check(queries, "neighbours' queries");
  if (bank.width != queries.width || labels < 1 || how.neighbours < 1 || !(how.temperature > 0) ||
      static_cast<index_t>(targets.size()) != bank.items * labels) {
    throw Error("neighbours: a bank of width " + std::to_string(bank.width) + " with " +
                std::to_string(targets.size()) + " targets of " + std::to_string(labels) +
                " labels, queries of width " + std::to_string(queries.width) + ", " +
                std::to_string(how.neighbours) + " neighbours at temperature " +
                std::to_string(how.temperature) + " do not fit together");
  }
  const std::vector<float> rows = normalised(bank);
  const std::vector<float> query_rows = normalised(queries);
  const index_t count = std::min(how.neighbours, bank.items);
  std::vector<float> votes(static_cast<std::size_t>(queries.items * labels));
#pragma omp parallel num_threads(how.num_threads)
  {
    std::vector<float> cosine(static_cast<std::size_t>(bank.items));
    std::vector<index_t> order(static_cast<std::size_t>(bank.items));
#pragma omp for schedule(static)
    for (index_t query = 0; query < queries.items; ++query) {
      const float* const q = query_rows.data() + query * bank.width;
      for (index_t item = 0; item < bank.items; ++item) {
        const float* const row = rows.data() + item * bank.width;
        double sum = 0;
        for (index_t i = 0; i < bank.width; ++i) sum += static_cast<double>(q[i]) * row[i];
        cosine[static_cast<std::size_t>(item)] = static_cast<float>(sum);
      }
      std::iota(order.begin(), order.end(), index_t{0});
      std::partial_sort(order.begin(), order.begin() + count, order.end(),
                        [&](index_t a, index_t b) {
                          const float x = cosine[static_cast<std::size_t>(a)];
                          const float y = cosine[static_cast<std::size_t>(b)];
                          return x != y ? x > y : a < b;
                        });
      const double nearest = cosine[static_cast<std::size_t>(order[0])];
      double total = 0;
      std::vector<double> sums(static_cast<std::size_t>(labels), 0.);
      for (index_t rank = 0; rank < count; ++rank) {
        const index_t item = order[static_cast<std::size_t>(rank)];
        // Relative to the nearest one, so that no temperature overflows.
        const double weight =
            std::exp((cosine[static_cast<std::size_t>(item)] - nearest) / how.temperature);
        total += weight;
        for (index_t label = 0; label < labels; ++label) {
          sums[static_cast<std::size_t>(label)] +=
              weight * targets[static_cast<std::size_t>(item * labels + label)];
        }
      }
      for (index_t label = 0; label < labels; ++label) {
        votes[static_cast<std::size_t>(query * labels + label)] =
            static_cast<float>(sums[static_cast<std::size_t>(label)] / total);
      }
    }
  }
  return votes;
}

}  // namespace vitsnna::train
