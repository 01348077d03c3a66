// The random parameters of crops: pure functions, with the frequencies and ranges of the recipe.
#include "train/augment/parameters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

namespace vitsnna::train {
namespace {

using kernels::AugmentCrop;
using kernels::ColorKind;

constexpr Extent kPicture{180, 320};

std::vector<AugmentCrop> drawn(const CropRecipe& recipe, std::uint32_t count, std::uint32_t crop) {
  std::vector<AugmentCrop> crops;
  for (std::uint32_t image = 0; image < count; ++image) {
    crops.push_back(draw_crop(recipe, kPicture, {7, image, 3, crop}));
  }
  return crops;
}

TEST(Parameters, DependOnSeedImageEpochAndCropAlone) {
  const CropRecipe recipe = dino_recipe()[2];
  const auto box = [&](const CropKey& key) {
    const AugmentCrop crop = draw_crop(recipe, kPicture, key);
    return std::vector<std::int32_t>{crop.top, crop.left, crop.height, crop.width};
  };
  const auto first = box({1, 2, 3, 4});
  EXPECT_EQ(first, box({1, 2, 3, 4}));
  for (const CropKey& other : {CropKey{2, 2, 3, 4}, CropKey{1, 3, 3, 4}, CropKey{1, 2, 4, 4},
                               CropKey{1, 2, 3, 5}, CropKey{1ull << 40 | 1, 2, 3, 4}}) {
    EXPECT_NE(first, box(other));
  }
}

/// Within five standard deviations of a binomial count.
void expect_share(const char* name, double count, double total, double probability) {
  EXPECT_NEAR(count, total * probability,
              5. * std::sqrt(total * probability * (1. - probability)) + .5)
      << name;
}

TEST(Parameters, HappenAsOftenAsTheDinoRecipeSays) {
  const std::vector<CropRecipe> recipes = dino_recipe();
  ASSERT_EQ(recipes.size(), 10u);
  constexpr std::uint32_t count = 4000;
  const double blur[] = {1., .1, .5}, solarize[] = {0., .2, 0.};
  for (std::uint32_t k = 0; k < 3; ++k) {
    double flips = 0, jitters = 0, greys = 0, blurs = 0, solarized = 0;
    for (const AugmentCrop& crop : drawn(recipes[k], count, k)) {
      flips += crop.flip;
      jitters += crop.color[0].kind != ColorKind::none;
      greys += crop.grayscale;
      blurs += crop.blur.full != 0;
      solarized += crop.solarize == 128;
    }
    expect_share("flip", flips, count, .5);
    expect_share("jitter", jitters, count, .8);
    expect_share("grayscale", greys, count, .2);
    expect_share("blur", blurs, count, blur[k]);
    expect_share("solarize", solarized, count, solarize[k]);
  }
}

TEST(Parameters, BoxesLieInThePictureWithTheirShareAndAspect) {
  for (const std::uint32_t k : {0u, 5u}) {
    const CropRecipe recipe = dino_recipe()[k];
    std::set<std::int32_t> tops;
    for (const AugmentCrop& crop : drawn(recipe, 2000, k)) {
      ASSERT_GE(crop.top, 0);
      ASSERT_GE(crop.left, 0);
      ASSERT_LE(crop.top + crop.height, kPicture.height);
      ASSERT_LE(crop.left + crop.width, kPicture.width);
      const double share = crop.height * crop.width / static_cast<double>(kPicture.area());
      const double ratio = crop.width / static_cast<double>(crop.height);
      // A side is rounded by at most half a pixel.
      const double slack = .5 / crop.height + .5 / crop.width + .001;
      ASSERT_GE(share, recipe.scale_least * (1. - slack));
      ASSERT_LE(share, recipe.scale_most * (1. + slack));
      ASSERT_GE(ratio, .75 * (1. - slack));
      ASSERT_LE(ratio, 4. / 3. * (1. + slack));
      EXPECT_EQ(crop.resized_height, recipe.size.height);
      EXPECT_EQ(crop.window_top, 0);
      tops.insert(crop.top);
    }
    EXPECT_GT(tops.size(), 30u);
  }
}

TEST(Parameters, ANarrowPictureGivesItsCentre) {
  const AugmentCrop crop = draw_crop(dino_recipe()[0], {1000, 10}, {});
  EXPECT_EQ(crop.width, 10);
  EXPECT_EQ(crop.height, 13);  // 10 / (3 / 4), rounded
  EXPECT_EQ(crop.top, (1000 - 13) / 2);
}

TEST(Parameters, TheJitterTakesAllStepsInEveryOrder) {
  CropRecipe recipe = dino_recipe()[0];
  recipe.jitter = 1.;
  std::set<std::vector<ColorKind>> orders;
  for (const AugmentCrop& crop : drawn(recipe, 600, 0)) {
    std::vector<ColorKind> order;
    for (const kernels::ColorStep& step : crop.color) {
      order.push_back(step.kind);
      if (step.kind == ColorKind::hue) {
        EXPECT_TRUE(step.shift <= 25 || step.shift >= 231) << step.shift;
      } else {
        const float strength = step.kind == ColorKind::saturation ? .2f : .4f;
        EXPECT_NEAR(step.factor, 1.f, strength + 1e-6f);
      }
    }
    EXPECT_EQ(std::set<ColorKind>(order.begin(), order.end()).size(), 4u);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 24u);
}

TEST(Parameters, EvaluationTakesTheWholePictureOrTheCentreSquare) {
  const AugmentCrop same = draw_crop(evaluation_recipe({360, 640}), {720, 1280}, {});
  EXPECT_EQ(same.resized_height, 360);
  EXPECT_EQ(same.resized_width, 640);
  EXPECT_EQ(same.window_left, 0);
  EXPECT_FALSE(same.flip);
  const AugmentCrop wide = draw_crop(evaluation_recipe({224, 224}), {180, 320}, {});
  EXPECT_EQ(wide.resized_height, 224);
  EXPECT_EQ(wide.resized_width, 398);
  EXPECT_EQ(wide.window_left, 87);
  const AugmentCrop less = draw_crop(evaluation_recipe({224, 224}, .875), {180, 320}, {});
  EXPECT_EQ(less.resized_height, 256);
  EXPECT_EQ(less.resized_width, 455);
  EXPECT_EQ(less.window_top, 16);
  const AugmentCrop square = draw_crop(evaluation_recipe({360, 640}), {100, 100}, {});
  EXPECT_EQ(square.resized_height, 360);  // stretched: it has not the width
  EXPECT_EQ(square.resized_width, 640);
}

TEST(Parameters, EvaluationLeavesOutWhatPatchesDoNotDivideAtTheBottomAndTheRight) {
  const CropRecipe wide = evaluation_recipe({360, 644}, 1., 16);
  EXPECT_TRUE((wide.size == Extent{352, 640}));
  const AugmentCrop whole = draw_crop(wide, {720, 1280}, {});
  EXPECT_EQ(whole.resized_height, 360);
  EXPECT_EQ(whole.resized_width, 644);
  EXPECT_EQ(whole.window_top, 0);
  EXPECT_EQ(whole.window_left, 0);
  const AugmentCrop centre = draw_crop(evaluation_recipe({227, 227}, 1., 16), {180, 320}, {});
  EXPECT_EQ(centre.resized_width, 404);
  EXPECT_EQ(centre.window_left, 88);  // of the 227 columns in the middle, not of the 224
}

TEST(Parameters, DecodersMayReduceToWhatTheSmallestBoxNeeds) {
  EXPECT_EQ(least_short_side(dino_recipe()), 430);  // 96 / sqrt .05
  EXPECT_EQ(least_short_side({evaluation_recipe({360, 360})}), 360);
  EXPECT_EQ(least_short_side({evaluation_recipe({360, 640})}), 640);  // of a portrait too
}

}  // namespace
}  // namespace vitsnna::train
