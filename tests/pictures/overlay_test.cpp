// Maps over pictures: what SPEC section 8 promises of the rendering, through the CPU's kernel.
#include "explain/pictures/overlay.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <vector>

#include "explain/pictures/attention_maps.h"
#include "explain/pictures/colormaps.h"
#include "tests/pictures/image_files.h"
#include "tests/support/expect_error.h"

namespace vitsnna::explain {
namespace {

using test::gradient_image;

class Overlay : public testing::Test {
 protected:
  Image overlay(const std::vector<float>& map, Extent grid, const Image& picture,
                const OverlayOptions& options = {}) {
    return render_overlay(map, grid, picture, options, kernels::cpu_backend(), queue_);
  }
  Image heat(const std::vector<float>& map, Extent grid, Extent size,
             const OverlayOptions& options = {}) {
    return render_heat(map, grid, size, options, kernels::cpu_backend(), queue_);
  }

  kernels::Queue queue_;  ///< without scratch: the functions bring what they need
};

/// Entry `index` of a colour table, or pixel `index` of a picture.
std::vector<int> colour(const ColormapTable& table, int index) {
  return {table[static_cast<std::size_t>(3 * index)],
          table[static_cast<std::size_t>(3 * index + 1)],
          table[static_cast<std::size_t>(3 * index + 2)]};
}
std::vector<int> colour(const Image& image, index_t y, index_t x) {
  const std::uint8_t* pixel = image.rgb.data() + 3 * (y * image.width + x);
  return {pixel[0], pixel[1], pixel[2]};
}

TEST_F(Overlay, ExtremesOfTheMapAreTheEndsOfTheColourTable) {
  const std::vector<float> map = {0, 1, 2, 3};
  for (const std::string& name : colormap_names()) {
    OverlayOptions options;
    options.colormap = name;
    const Image image = heat(map, {2, 2}, {32, 32}, options);
    EXPECT_EQ(colour(image, 0, 0), colour(colormap(name), 0)) << name;
    EXPECT_EQ(colour(image, 31, 31), colour(colormap(name), 255)) << name;
  }
}

TEST_F(Overlay, AConstantMapIsTheLowestColourEverywhere) {
  const Image picture = gradient_image(16, 24);
  for (const float value : {0.f, 3.5f, -2.f}) {
    const Image image = heat({value, value, value, value, value, value}, {2, 3}, {16, 24});
    for (index_t i = 0; i < 16; ++i) {
      EXPECT_EQ(colour(image, i, i), colour(colormap("jet"), 0)) << value;
    }
  }
}

TEST_F(Overlay, NegativeValuesAreNotClipped) {
  // Clipping at 0 would make the first two patches one colour.
  OverlayOptions options;
  options.upsampling = kernels::Upsampling::nearest;
  const Image image = heat({-2, -1, 0, 2}, {1, 4}, {8, 32}, options);
  EXPECT_EQ(colour(image, 0, 0), colour(colormap("jet"), 0));
  EXPECT_EQ(colour(image, 0, 8), colour(colormap("jet"), 64));    // 255 / 4 = 63.75
  EXPECT_EQ(colour(image, 0, 16), colour(colormap("jet"), 128));  // 127.5 rounds up
  EXPECT_EQ(colour(image, 0, 24), colour(colormap("jet"), 255));
}

TEST_F(Overlay, OnlyTheMapsShapeCountsNotItsScale) {
  const Image picture = gradient_image(32, 32);
  const Image once = overlay({1, 2, 3, 5}, {2, 2}, picture);
  EXPECT_EQ(overlay({1e-6f, 2e-6f, 3e-6f, 5e-6f}, {2, 2}, picture).extent(), once.extent());
  EXPECT_EQ(overlay({2, 4, 6, 10}, {2, 2}, picture).rgb, once.rgb);
}

TEST_F(Overlay, BlendMixesByAlphaInThePicturesOwnColours) {
  const Image picture = gradient_image(16, 16);
  const std::vector<float> map = {0, 1, 2, 3};
  const Image only_heat = heat(map, {2, 2}, {16, 16});
  OverlayOptions options;
  options.alpha = 0;
  EXPECT_EQ(overlay(map, {2, 2}, picture, options).rgb, picture.rgb) << "red and blue in place";
  options.alpha = 1;
  EXPECT_EQ(overlay(map, {2, 2}, picture, options).rgb, only_heat.rgb);
  options.alpha = .25f;
  const Image mixed = overlay(map, {2, 2}, picture, options);
  for (std::size_t i = 0; i < mixed.rgb.size(); ++i) {
    EXPECT_NEAR(mixed.rgb[i], .25 * only_heat.rgb[i] + .75 * picture.rgb[i], .5 + 1e-4);
  }
}

TEST_F(Overlay, AddStretchesTheSumOfHeatAndPictureToTheFullRange) {
  const Image picture = gradient_image(16, 16);
  const std::vector<float> map = {0, 1, 2, 3};
  const Image only_heat = heat(map, {2, 2}, {16, 16});
  OverlayOptions options;
  options.blend = kernels::Blend::add;
  const Image added = overlay(map, {2, 2}, picture, options);
  int low = 510, high = 0;
  for (std::size_t i = 0; i < added.rgb.size(); ++i) {
    const int sum = only_heat.rgb[i] + picture.rgb[i];
    low = std::min(low, sum);
    high = std::max(high, sum);
  }
  for (std::size_t i = 0; i < added.rgb.size(); ++i) {
    const int sum = only_heat.rgb[i] + picture.rgb[i];
    EXPECT_NEAR(added.rgb[i], 255. * (sum - low) / (high - low), .5 + 1e-3);
  }
}

TEST_F(Overlay, NearestDrawsOneFlatSquareAPatch) {
  OverlayOptions options;
  options.upsampling = kernels::Upsampling::nearest;
  const Image image = heat({0, 1, 2, 3, 4, 5}, {2, 3}, {16, 24}, options);
  for (index_t y = 0; y < 16; ++y) {
    for (index_t x = 0; x < 24; ++x) {
      EXPECT_EQ(colour(image, y, x), colour(image, y / 8 * 8, x / 8 * 8));
    }
  }
  EXPECT_NE(colour(image, 0, 7), colour(image, 0, 8));
}

TEST_F(Overlay, BilinearPutsThePatchValuesAtTheirCentres) {
  // Half a patch from the border the interpolation sits between two pixels of the odd patch: with
  // patches of 5 pixels the centre of patch (0, 1) is pixel (2, 7).
  const Image image = heat({0, 255, 0}, {1, 3}, {5, 15});
  EXPECT_EQ(colour(image, 2, 7), colour(colormap("jet"), 255));
  EXPECT_EQ(colour(image, 2, 2), colour(colormap("jet"), 0));
  EXPECT_EQ(colour(image, 2, 0), colour(colormap("jet"), 0)) << "the border is held, not continued";
  EXPECT_EQ(colour(image, 2, 4), colour(colormap("jet"), 102));  // two fifths of the way
}

TEST_F(Overlay, RefusesWhatCannotBeDrawn) {
  const Image picture = gradient_image(8, 8);
  OverlayOptions options;
  options.colormap = "rainbow";
  EXPECT_ERROR(overlay({1, 2, 3, 4}, {2, 2}, picture, options), "'rainbow'", "jet", "viridis");
  options.colormap = "jet";
  options.alpha = 1.5f;
  EXPECT_ERROR(overlay({1, 2, 3, 4}, {2, 2}, picture, options), "alpha 1.5");
  options.alpha = std::numeric_limits<float>::quiet_NaN();
  EXPECT_ERROR(overlay({1, 2, 3, 4}, {2, 2}, picture, options), "alpha nan");
  EXPECT_ERROR(overlay({1, 2, 3}, {2, 2}, picture), "3 values", "2x2");
  EXPECT_ERROR(overlay({1, 2, 3, std::numeric_limits<float>::infinity()}, {2, 2}, picture), "inf",
               "row 1, column 1");
}

TEST_F(Overlay, AMassThresholdLeavesOnlyTheTokensThatHoldTheMass) {
  const Image picture = gradient_image(16, 32);
  const std::vector<float> attention = {.1f, .5f, .15f, .25f, 0, 0, 0, 0};
  OverlayOptions options;
  options.alpha = 1;
  const auto draw = [&](std::optional<double> threshold) {
    return render_attention(attention, {2, 4}, picture, threshold, options, kernels::cpu_backend(),
                            queue_);
  };
  const Image most = draw(.7);  // .5 and .25
  const std::vector<int> nothing = colour(colormap("jet"), 0);
  EXPECT_EQ(colour(most, 0, 0), nothing);
  EXPECT_EQ(colour(most, 7, 15), colour(colormap("jet"), 255));
  EXPECT_EQ(colour(most, 7, 16), nothing);
  EXPECT_EQ(colour(most, 0, 24), colour(colormap("jet"), 128));  // half the largest: 127.5
  EXPECT_EQ(colour(most, 8, 8), nothing);
  EXPECT_EQ(draw(std::nullopt).rgb, overlay(attention, {2, 4}, picture, options).rgb);
  EXPECT_ERROR(draw(0.), "mass threshold");
}

TEST(Colormaps, AreTheWellKnownOnes) {
  // OpenCV's jet, the paper's: dark blue, then cyan, yellow and dark red.
  EXPECT_EQ(colour(colormap("jet"), 0), (std::vector<int>{0, 0, 128}));
  EXPECT_EQ(colour(colormap("jet"), 255), (std::vector<int>{128, 0, 0}));
  // matplotlib's own end points.
  EXPECT_EQ(colour(colormap("viridis"), 0), (std::vector<int>{68, 1, 84}));
  EXPECT_EQ(colour(colormap("viridis"), 255), (std::vector<int>{253, 231, 37}));
  EXPECT_EQ(colour(colormap("inferno"), 0), (std::vector<int>{0, 0, 4}));
  EXPECT_EQ(colour(colormap("magma"), 255), (std::vector<int>{252, 253, 191}));
}

TEST(Predictions, AreWrittenInThePictureLeavingTheRestAlone) {
  const Image picture = gradient_image(360, 640);
  const std::vector<LabelledProbability> actions = {{"stop_slow", .93}, {"left", .61}};
  const Image drawn = draw_predictions(picture, actions);
  ASSERT_EQ(drawn.extent(), picture.extent());
  EXPECT_NE(drawn.rgb, picture.rgb);
  for (index_t y = 0; y < 360; ++y) {
    for (index_t x = 0; x < 640; ++x) {
      if (y < 120 && x < 320) continue;  // the panel is in there
      ASSERT_EQ(colour(drawn, y, x), colour(picture, y, x));
    }
  }
  EXPECT_EQ(draw_predictions(picture, {}).rgb, picture.rgb);
}

TEST(Predictions, FitAnyPicture) {
  std::vector<LabelledProbability> many;
  for (int i = 0; i < 50; ++i)
    many.push_back({"a rather long label, number " + std::to_string(i), .5});
  for (const Extent size : {Extent{1, 1}, Extent{96, 96}, Extent{30, 900}, Extent{900, 30}}) {
    const Image drawn = draw_predictions(gradient_image(size.height, size.width), many);
    EXPECT_GE(std::min(drawn.height, drawn.width), 200);
    EXPECT_EQ(drawn.height % size.height, 0) << "enlarged by a whole factor";
    EXPECT_EQ(drawn.height / size.height, drawn.width / size.width);
    EXPECT_EQ(drawn.rgb.size(), static_cast<std::size_t>(3 * drawn.extent().area()));
  }
}

}  // namespace
}  // namespace vitsnna::explain
