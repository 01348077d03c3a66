// The smallest set of tokens that holds a share of an attention map's mass.
#include "explain/mass_threshold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/support/expect_error.h"

namespace vitsnna::explain {
namespace {

using Map = std::vector<float>;

TEST(KeepMass, KeepsTheLargestUntilTheyHoldTheShare) {
  const Map map = {.125f, .5f, .25f, .125f};
  EXPECT_EQ(keep_mass(map, .4), (Map{0, .5f, 0, 0}));
  EXPECT_EQ(keep_mass(map, .5), (Map{0, .5f, 0, 0}));  // exactly held: no more is needed
  EXPECT_EQ(keep_mass(map, .51), (Map{0, .5f, .25f, 0}));
  EXPECT_EQ(keep_mass(map, .75), (Map{0, .5f, .25f, 0}));
  EXPECT_EQ(keep_mass(map, .8), (Map{.125f, .5f, .25f, 0}));  // a tie goes to the lower index
  EXPECT_EQ(keep_mass(map, 1), map);
}

TEST(KeepMass, NoSmallerSetHoldsTheShare) {
  std::uint32_t state = 1;
  Map map(97);
  for (float& value : map) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) / 16777216.f;
  }
  double total = 0;
  for (const float value : map) total += static_cast<double>(value);
  for (const double threshold : {.01, .3, .6, .9, .999}) {
    const Map kept = keep_mass(map, threshold);
    double held = 0;
    float smallest = std::numeric_limits<float>::max(), largest_left_out = 0;
    for (std::size_t i = 0; i < map.size(); ++i) {
      held += static_cast<double>(kept[i]);
      if (kept[i] > 0) {
        EXPECT_EQ(kept[i], map[i]);
        smallest = std::min(smallest, map[i]);
      } else {
        largest_left_out = std::max(largest_left_out, map[i]);
      }
    }
    EXPECT_GE(held, threshold * total * (1 - 1e-12));
    EXPECT_LT(held - static_cast<double>(smallest), threshold * total);
    EXPECT_GE(smallest, largest_left_out);
  }
}

TEST(KeepMass, OfNothingIsNothing) {
  EXPECT_EQ(keep_mass(Map{0, 0}, .5), (Map{0, 0}));
  EXPECT_EQ(keep_mass(Map{}, .5), Map{});
}

TEST(KeepMass, RefusesWhatIsNoShareOrNoAttention) {
  const Map map = {1, 2};
  for (const double threshold : {0., -.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_ERROR(keep_mass(map, threshold), "mass threshold");
  }
  for (const float value :
       {-1.f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_ERROR(keep_mass(Map{1, value}, .5), "mass threshold");
  }
}

}  // namespace
}  // namespace vitsnna::explain
