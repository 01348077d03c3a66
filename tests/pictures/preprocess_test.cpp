// From a picture to the model's tensor: Pillow's pixels, and the arithmetic of the normalisation.
#include "explain/pictures/preprocess.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/images/read_image.h"
#include "explain/pictures/write_png.h"
#include "tests/pictures/image_files.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::explain {
namespace {

using engine::read_image;

/// 37 x 53, jagged: red 37x + 11y, green x^2 + 3y, blue 5x + 7y^2, each modulo 256.
Image jagged_image() {
  Image image{37, 53, {}};
  for (int y = 0; y < 37; ++y) {
    for (int x = 0; x < 53; ++x) {
      for (const int value : {x * 37 + y * 11, x * x + 3 * y, x * 5 + y * y * 7}) {
        image.rgb.push_back(static_cast<std::uint8_t>(value % 256));
      }
    }
  }
  return image;
}

model::VitConfig small_model(index_t patch) {
  model::VitConfig config;
  config.patch_size = patch;
  config.trained_grid_height = config.trained_grid_width = 2;
  return config;
}

LoadedInput prepare(const Image& image, const std::string& size, const std::string& crop,
                    index_t patch, const model::ModelMetadata& metadata = {}) {
  SizeOptions options;
  if (!size.empty()) parse_size(size, options);
  if (!crop.empty()) parse_crop(crop, options);
  kernels::Queue queue;
  return prepare_input("picture", image, options, small_model(patch), metadata,
                       kernels::cpu_backend(), queue);
}

/// Image.fromarray(jagged).resize((23, 16), Image.BICUBIC) in Pillow 13.
TEST(Preprocess, ResizesToPillowsBits) {
  const LoadedInput input = prepare(jagged_image(), "short:16", "", 1);
  ASSERT_EQ(input.geometry.resized, (Extent{16, 23}));
  struct {
    index_t y, x;
    int rgb[3];
  } const wanted[] = {{0, 0, {34, 3, 9}},
                      {0, 22, {106, 116, 62}},
                      {7, 11, {123, 143, 112}},
                      {15, 0, {168, 107, 135}},
                      {15, 22, {155, 168, 126}}};
  for (const auto& [y, x, rgb] : wanted) {
    for (int c = 0; c < 3; ++c) {
      EXPECT_EQ(input.picture.rgb[static_cast<std::size_t>(3 * (y * 23 + x) + c)], rgb[c])
          << y << " " << x << " " << c;
    }
  }
}

TEST(Preprocess, NormalisesEachChannelByItsOwnMeanAndDeviation) {
  model::ModelMetadata metadata;
  metadata.mean = {.1f, .2f, .3f};
  metadata.deviation = {.5f, .25f, 2.f};
  const LoadedInput input = prepare(jagged_image(), "24x40", "", 8, metadata);
  const index_t pixels = 24 * 40;
  ASSERT_EQ(input.tensor.size(), static_cast<std::size_t>(3 * pixels));
  ASSERT_EQ(input.picture.extent(), (Extent{24, 40}));
  for (index_t c = 0; c < 3; ++c) {
    for (index_t i = 0; i < pixels; ++i) {
      const auto channel = static_cast<std::size_t>(c);
      const float value = input.picture.rgb[static_cast<std::size_t>(3 * i + c)];
      EXPECT_NEAR(input.tensor[static_cast<std::size_t>(c * pixels + i)],
                  (value / 255.f - metadata.mean[channel]) / metadata.deviation[channel], 1e-6f);
    }
  }
}

TEST(Preprocess, CropsTheWindowThatTheGeometryNames) {
  // At its own size nothing is resized, so the window can be compared with the source.
  const Image image = jagged_image();
  const LoadedInput input = prepare(image, "37x53", "30x41", 4);
  EXPECT_EQ(input.original, (Extent{37, 53}));
  EXPECT_EQ(input.geometry.crop_top, 3);
  EXPECT_EQ(input.geometry.crop_left, 6);
  EXPECT_EQ(input.geometry.crop, (Extent{28, 40}));
  for (index_t y = 0; y < 28; ++y) {
    for (index_t x = 0; x < 3 * 40; ++x) {
      EXPECT_EQ(input.picture.rgb[static_cast<std::size_t>(y * 3 * 40 + x)],
                image.rgb[static_cast<std::size_t>((y + 3) * 3 * 53 + 3 * 6 + x)]);
    }
  }
}

TEST(Preprocess, LoadsFromAFileAndNamesItInErrors) {
  const test::TempDirectory directory;
  const std::string path = (directory / "jagged.png").string();
  write_png(path, jagged_image());
  SizeOptions options;
  parse_size("16x24", options);
  kernels::Queue queue;
  const auto load = [&](const std::string& file) {
    return load_input(file, options, small_model(8), {}, kernels::cpu_backend(), queue);
  };
  EXPECT_EQ(load(path).tensor, prepare(jagged_image(), "16x24", "", 8).tensor);
  parse_crop("32", options);
  EXPECT_ERROR(load(path), "jagged.png", "32x32", "16x24");
  EXPECT_ERROR(load((directory / "none.png").string()), "none.png");
}

TEST(Preprocess, APictureOfATensorUndoesTheNormalisation) {
  const LoadedInput input = prepare(jagged_image(), "24x40", "", 8);
  const Image picture = picture_of_tensor(input.tensor.data(), 3, {24, 40}, {});
  EXPECT_EQ(picture.rgb, input.picture.rgb);

  const float odd[] = {1e30f, -1e30f, std::numeric_limits<float>::quiet_NaN(), 0.f};
  const Image grey = picture_of_tensor(odd, 1, {2, 2}, {});
  EXPECT_EQ(grey.rgb[0], 255);
  EXPECT_EQ(grey.rgb[3], 0);
  EXPECT_EQ(grey.rgb[6], 0);
}

TEST(WritePng, WhatIsWrittenIsReadBack) {
  const test::TempDirectory directory;
  const std::string path = (directory / "out.png").string();
  write_png(path, jagged_image());
  EXPECT_EQ(read_image(path).rgb, jagged_image().rgb);
  EXPECT_EQ(directory.entries(), 1u);
}

TEST(WritePng, LeavesNothingWhereItCannotWrite) {
  const test::TempDirectory directory;
  EXPECT_ERROR(write_png((directory / "none" / "out.png").string(), jagged_image()), "out.png");
  EXPECT_ERROR(write_png((directory / "empty.png").string(), Image{}), "empty.png", "0x0");
  EXPECT_EQ(directory.entries(), 0u);
}

}  // namespace
}  // namespace vitsnna::explain
