// Drop path draws what its rate says, and the same for an image wherever a batch has it.
#include "train/dino/drop_path.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/expect_error.h"

namespace vitsnna::train {
namespace {

constexpr index_t kDepth = 5, kCrops = 3;

std::vector<index_t> first_images(index_t count) {
  std::vector<index_t> images(static_cast<std::size_t>(count));
  std::iota(images.begin(), images.end(), index_t{0});
  return images;
}

/// Factor of (branch, crop, image) among `images` of them.
float at(const std::vector<float>& factors, index_t images, index_t branch, index_t crop,
         index_t image) {
  return factors[static_cast<std::size_t>((branch * kCrops + crop) * images + image)];
}

TEST(DropPath, RatesRiseFromBlockToBlock) {
  constexpr index_t images = 4000;
  const DropPath drop_path{.4, 7};
  const std::vector<float> factors =
      branch_factors(drop_path, 3, kDepth, kCrops, first_images(images));
  ASSERT_EQ(static_cast<index_t>(factors.size()), 2 * kDepth * kCrops * images);
  for (index_t branch = 0; branch < 2 * kDepth; ++branch) {
    const double p = .1 * static_cast<double>(branch / 2);  // linspace(0, .4, 5)
    index_t dropped = 0;
    for (index_t crop = 0; crop < kCrops; ++crop) {
      for (index_t image = 0; image < images; ++image) {
        const float factor = at(factors, images, branch, crop, image);
        EXPECT_TRUE(factor == 0.f || factor == static_cast<float>(1. / (1. - p))) << factor;
        dropped += factor == 0.f ? 1 : 0;
      }
    }
    const double draws = kCrops * images;
    EXPECT_NEAR(static_cast<double>(dropped), draws * p, 5. * std::sqrt(draws * p * (1. - p)))
        << branch;
  }
}

/// Every two of the last block's branches, crops and steps are dropped together as often as chance
/// says.
TEST(DropPath, BranchesCropsAndStepsAreDrawnApart) {
  constexpr index_t images = 4000;
  const DropPath drop_path{.5, 7};
  std::vector<std::vector<bool>> series;
  for (const index_t step : {index_t{0}, index_t{1}}) {
    const std::vector<float> factors =
        branch_factors(drop_path, step, kDepth, kCrops, first_images(images));
    for (index_t branch = 2 * kDepth - 2; branch < 2 * kDepth; ++branch) {
      for (index_t crop = 0; crop < kCrops; ++crop) {
        series.emplace_back();
        for (index_t image = 0; image < images; ++image) {
          series.back().push_back(at(factors, images, branch, crop, image) == 0.f);
        }
      }
    }
  }
  for (std::size_t a = 0; a < series.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      int same = 0;
      for (std::size_t k = 0; k < series[a].size(); ++k) same += series[a][k] == series[b][k];
      EXPECT_NEAR(same, images / 2, 5. * std::sqrt(images / 4.)) << a << " " << b;
    }
  }
}

TEST(DropPath, AnImagesDrawsAreItsOwnWhereverItIs) {
  const DropPath drop_path{.5, 7};
  const std::vector<index_t> images{41, 3, 70'000'000, 12};
  const std::vector<float> together = branch_factors(drop_path, 9, kDepth, kCrops, images);
  for (index_t k = 0; k < 4; ++k) {
    const std::vector<index_t> one{images[static_cast<std::size_t>(k)]};
    const std::vector<float> alone = branch_factors(drop_path, 9, kDepth, kCrops, one);
    for (index_t branch = 0; branch < 2 * kDepth; ++branch) {
      for (index_t crop = 0; crop < kCrops; ++crop) {
        EXPECT_EQ(at(alone, 1, branch, crop, 0), at(together, 4, branch, crop, k));
      }
    }
  }
  EXPECT_NE(branch_factors({.5, 8}, 9, kDepth, kCrops, images), together);
}

TEST(DropPath, ARateIsAShareBelowOne) {
  EXPECT_NO_THROW(check(DropPath{0., 1}));
  for (const double rate : {-.1, 1., 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_ERROR(check(DropPath{rate, 1}), "--drop-path");
  }
}

}  // namespace
}  // namespace vitsnna::train
