// Tolerances and the values that the suite runs on.
#include "tests/contract/check.h"

namespace vitsnna::contract {
namespace {

/// SplitMix64.
std::uint64_t next(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15ull;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

double unit_roundoff(DType dtype) { return dtype == DType::f32 ? 0x1p-24 : 0x1p-9; }

}  // namespace

Values random_values(index_t count, std::uint64_t seed, DType dtype, double scale) {
  Values values;
  for (index_t k = 0; k < count; ++k) {
    const double unit = static_cast<double>(next(seed) >> 11) * 0x1p-53;
    values.push_back(static_cast<double>(static_cast<float>(scale * (2. * unit - 1.))));
  }
  return oracle::rounded(std::move(values), dtype);
}

Values random_keep(index_t count, std::uint64_t seed) {
  Values values;
  for (index_t k = 0; k < count; ++k) values.push_back(next(seed) % 3 == 0 ? 0. : 1.);
  if (count > 1) values.back() = 0.;  // the tail is where a mask is most easily lost
  return values;
}

void expect_close(const char* name, const Values& actual, const Values& oracle, const Values& naive,
                  double scale, DType dtype) {
  ASSERT_EQ(actual.size(), oracle.size()) << name;
  ASSERT_EQ(naive.size(), oracle.size()) << name;
  double naive_error = 0.;
  for (std::size_t k = 0; k < oracle.size(); ++k) {
    naive_error = std::max(naive_error, std::abs(naive[k] - oracle[k]));
  }
  const double tolerance = 4. * naive_error + 4. * unit_roundoff(dtype) * scale;
  std::size_t wrong = 0, first = 0;
  double worst = 0.;
  for (std::size_t k = 0; k < oracle.size(); ++k) {
    const double error = std::abs(actual[k] - oracle[k]);
    if (!(error <= tolerance)) {
      if (wrong++ == 0) first = k;
    }
    worst = std::isnan(error) ? error : std::max(worst, error);
  }
  EXPECT_EQ(wrong, 0u) << name << ": " << wrong << " of " << oracle.size() << " beyond "
                       << tolerance << " (naive error " << naive_error << ", scale " << scale
                       << "); first at " << first << ": " << actual[first] << ", wanted "
                       << oracle[first] << "; worst error " << worst;
}

void expect_equal(const char* name, const Values& actual, const Values& expected) {
  ASSERT_EQ(actual.size(), expected.size()) << name;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    ASSERT_EQ(actual[k], expected[k]) << name << ", element " << k << " of " << expected.size();
  }
}

void expect_derivative(const char* name, const std::function<double(const Values&)>& loss,
                       const Values& point, const Values& gradient) {
  ASSERT_EQ(point.size(), gradient.size()) << name;
  std::vector<Values> directions;
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    directions.push_back(random_values(static_cast<index_t>(point.size()), 77 + seed));
  }
  for (const std::size_t k : {std::size_t{0}, point.size() / 2, point.size() - 1}) {
    directions.emplace_back(point.size(), 0.);
    directions.back()[k] = 1.;
  }
  constexpr double step = 1e-4;
  for (const Values& direction : directions) {
    const auto moved = [&](double h) {
      Values x = point;
      for (std::size_t k = 0; k < x.size(); ++k) x[k] += h * direction[k];
      return loss(x);
    };
    const double difference = (moved(step) - moved(-step)) / (2. * step);
    double magnitude = 0.;
    for (std::size_t k = 0; k < point.size(); ++k) {
      magnitude += std::abs(gradient[k] * direction[k]);
    }
    EXPECT_NEAR(dot(gradient, direction), difference, 1e-5 * (magnitude + largest(gradient)))
        << name;
  }
}

double largest_row_norm(const Values& values, index_t columns) {
  double result = 0.;
  for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(columns)) {
    double square = 0.;
    for (std::size_t k = first; k < first + static_cast<std::size_t>(columns); ++k) {
      square += values[k] * values[k];
    }
    result = std::max(result, std::sqrt(square));
  }
  return result;
}

Values part(const Values& values, index_t items, index_t item) {
  const auto size = static_cast<std::ptrdiff_t>(values.size()) / items;
  return {values.begin() + item * size, values.begin() + (item + 1) * size};
}

}  // namespace vitsnna::contract
