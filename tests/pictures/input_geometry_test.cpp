// Sizes and crop windows of inputs, against SPEC section 9 worked out by hand.
#include "explain/input_geometry.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/expect_error.h"

namespace vitsnna::explain {
namespace {

struct Case {
  const char* promise;
  Extent picture;
  const char* size;  ///< --size, or ""
  const char* crop;  ///< --crop, or ""
  Extent resized;
  index_t crop_top, crop_left;
  Extent input;
  index_t dropped_rows, dropped_columns;
};

/// Trained on a 28 x 28 grid of 8-pixel patches: 224 x 224, which the default resizes to.
model::VitConfig dino_small() {
  model::VitConfig config;
  config.patch_size = 8;
  config.trained_grid_height = config.trained_grid_width = 28;
  return config;
}

SizeOptions options_of(const std::string& size, const std::string& crop) {
  SizeOptions options;
  if (!size.empty()) parse_size(size, options);
  if (!crop.empty()) parse_crop(crop, options);
  return options;
}

class InputGeometryTable : public testing::TestWithParam<Case> {};

TEST_P(InputGeometryTable, IsAsTheSpecificationSays) {
  const Case& wanted = GetParam();
  const InputGeometry found =
      input_geometry("picture.jpg", wanted.picture, options_of(wanted.size, wanted.crop),
                     dino_small(), model::ModelMetadata{});
  EXPECT_EQ(found.resized, wanted.resized) << wanted.promise;
  EXPECT_EQ(found.crop_top, wanted.crop_top) << wanted.promise;
  EXPECT_EQ(found.crop_left, wanted.crop_left) << wanted.promise;
  EXPECT_EQ(found.crop, wanted.input) << wanted.promise;
  EXPECT_EQ(found.dropped_rows, wanted.dropped_rows) << wanted.promise;
  EXPECT_EQ(found.dropped_columns, wanted.dropped_columns) << wanted.promise;
  EXPECT_EQ(found.note().empty(), wanted.dropped_rows == 0 && wanted.dropped_columns == 0);
}

// clang-format off: one line a case
constexpr Case kCases[] = {
    // picture, --size, --crop; resized, offsets, input, dropped rows and columns
    {"default of a square model, landscape",
     {375, 500},
     "",
     "",
     {224, 299},
     0,
     37,
     {224, 224},
     0,
     0},
    {"default of a square model, portrait",
     {500, 375},
     "",
     "",
     {299, 224},
     37,
     0,
     {224, 224},
     0,
     0},
    {"default enlarges a small picture", {32, 32}, "", "", {224, 224}, 0, 0, {224, 224}, 0, 0},
    {"short side of a driving frame",
     {720, 1280},
     "short:360",
     "",
     {360, 640},
     0,
     0,
     {360, 640},
     0,
     0},
    {"exact size whatever the proportions",
     {375, 500},
     "360x640",
     "",
     {360, 640},
     0,
     0,
     {360, 640},
     0,
     0},
    {"half to even, down: 5 * 10 / 4 = 12.5",
     {4, 5},
     "short:10",
     "8",
     {10, 12},
     1,
     2,
     {8, 8},
     0,
     0},
    {"half to even, up: 7 * 10 / 4 = 17.5", {4, 7}, "short:10", "8", {10, 18}, 1, 5, {8, 8}, 0, 0},
    {"half to even on a portrait: 9 * 10 / 4 = 22.5",
     {9, 4},
     "short:10",
     "8",
     {22, 10},
     7,
     1,
     {8, 8},
     0,
     0},
    {"above half goes up: 500 * 248 / 375 = 330.67",
     {375, 500},
     "short:248",
     "",
     {248, 331},
     0,
     0,
     {248, 328},
     0,
     3},
    {"offset of an odd margin rounds down",
     {256, 341},
     "256x341",
     "224",
     {256, 341},
     16,
     58,
     {224, 224},
     0,
     0},
    {"rectangular crop", {720, 1280}, "short:360", "320x600", {360, 640}, 20, 20, {320, 600}, 0, 0},
    {"crop replaces the default's crop only",
     {375, 500},
     "",
     "160",
     {224, 299},
     32,
     69,
     {160, 160},
     0,
     0},
    {"rows and columns that the patch leaves",
     {180, 320},
     "101x207",
     "",
     {101, 207},
     0,
     0,
     {96, 200},
     5,
     7},
    {"what is left is cut after the centre crop",
     {100, 100},
     "100x100",
     "90",
     {100, 100},
     5,
     5,
     {88, 88},
     2,
     2},
    {"crop of the whole", {64, 64}, "64x64", "64", {64, 64}, 0, 0, {64, 64}, 0, 0},
    {"one patch", {8, 8}, "8x8", "", {8, 8}, 0, 0, {8, 8}, 0, 0},
};
// clang-format on
INSTANTIATE_TEST_SUITE_P(Sizes, InputGeometryTable, testing::ValuesIn(kCases));

TEST(InputGeometry, TakesTheMetadatasSizeAndCropShare) {
  model::ModelMetadata metadata;
  metadata.input_size = {240, 240};
  metadata.crop_pct = 0.9;  // 240 / 0.9 = 266.67 -> 267
  InputGeometry found = input_geometry("p", {400, 400}, {}, dino_small(), metadata);
  EXPECT_EQ(found.resized, (Extent{267, 267}));
  EXPECT_EQ(found.crop, (Extent{240, 240}));
  EXPECT_EQ(found.crop_top, 13);  // 27 / 2 rounded down

  metadata.input_size = {225, 225};
  metadata.crop_pct = 1.0;
  found = input_geometry("p", {450, 900}, {}, dino_small(), metadata);
  EXPECT_EQ(found.resized, (Extent{225, 450}));
  EXPECT_EQ(found.crop, (Extent{224, 224}));
  EXPECT_EQ(found.crop_left, 112);
  EXPECT_EQ(found.dropped_rows, 1);

  // 225 / 0.4 = 562.5, which rounds to the even neighbour.
  metadata.crop_pct = 0.4;
  found = input_geometry("p", {450, 450}, {}, dino_small(), metadata);
  EXPECT_EQ(found.resized, (Extent{562, 562}));
}

TEST(InputGeometry, ResizesToTheWholeSizeOfARectangularModel) {
  model::ModelMetadata metadata;
  metadata.input_size = {360, 640};
  metadata.crop_pct = 0.5;
  const InputGeometry found = input_geometry("p", {1000, 1000}, {}, dino_small(), metadata);
  EXPECT_EQ(found.resized, (Extent{360, 640}));
  EXPECT_EQ(found.crop, (Extent{360, 640}));

  model::VitConfig config = dino_small();
  config.trained_grid_height = 45;
  config.trained_grid_width = 80;
  const InputGeometry grid = input_geometry("p", {1000, 1000}, {}, config, {});
  EXPECT_EQ(grid.crop, (Extent{360, 640}));
}

TEST(InputGeometry, SaysWhatThePatchLeavesOut) {
  SizeOptions options;
  parse_size("101x207", options);
  const std::string note = input_geometry("p", {180, 320}, options, dino_small(), {}).note();
  EXPECT_EQ(note,
            "5 rows at the bottom and 7 columns at the right left out, which the patch does not "
            "divide: the input is 96x200");
  parse_size("97x200", options);
  EXPECT_EQ(input_geometry("p", {180, 320}, options, dino_small(), {}).note(),
            "1 row at the bottom left out, which the patch does not divide: the input is 96x200");
}

TEST(InputGeometry, NamesThePictureThatCannotBecomeAnInput) {
  const auto geometry = [](Extent picture, const std::string& size, const std::string& crop) {
    input_geometry("p.jpg", picture, options_of(size, crop), dino_small(), {});
  };
  EXPECT_ERROR(geometry({100, 100}, "100x100", "128"), "p.jpg", "128x128", "100x100");
  EXPECT_ERROR(geometry({100, 100}, "100x100", "101x50"), "p.jpg", "101x50", "100x100");
  EXPECT_ERROR(geometry({100, 100}, "7x100", ""), "p.jpg", "7x100", "patch of 8x8");
  // One pixel high and 20 million wide: its short side cannot become 224.
  EXPECT_ERROR(geometry({1, 20'000'000}, "", ""), "p.jpg", "1x20000000");
  EXPECT_ERROR(geometry({0, 10}, "", ""), "p.jpg", "0x10");
}

TEST(SizeOptions, AreReadWholeOrRefused) {
  SizeOptions options;
  parse_size("360x640", options);
  EXPECT_EQ(options.size, (Extent{360, 640}));
  EXPECT_FALSE(options.short_side);
  parse_size("short:248", options);
  EXPECT_EQ(options.short_side, 248);
  EXPECT_FALSE(options.size);
  parse_crop("224", options);
  EXPECT_EQ(options.crop, (Extent{224, 224}));
  parse_crop("96x128", options);
  EXPECT_EQ(options.crop, (Extent{96, 128}));

  for (const char* text : {"",        "224",      "x",
                           "360x",    "x640",     "360x640x3",
                           "-1x5",    "0x5",      "5x0",
                           "+3x4",    " 3x4",     "3x4 ",
                           "3 x4",    "3.5x4",    "short:",
                           "short:0", "short:-2", "short:8x8",
                           "Short:8", "70000x1",  "99999999999999999999x1"}) {
    EXPECT_ERROR(parse_size(text, options), "--size", std::string("'") + text + "'");
  }
  for (const char* text : {"", "x", "0", "-1", "short:5", "1e3", "3x", "65536", "224 "}) {
    EXPECT_ERROR(parse_crop(text, options), "--crop", std::string("'") + text + "'");
  }
}

TEST(RoundHalfEven, IsExactWhereADoubleIsNot) {
  EXPECT_EQ(round_half_even(1, 2), 0);
  EXPECT_EQ(round_half_even(3, 2), 2);
  EXPECT_EQ(round_half_even(5, 2), 2);
  EXPECT_EQ(round_half_even(7, 3), 2);
  EXPECT_EQ(round_half_even(8, 3), 3);
  // 2^53 + 1 is not a double: its half rounds to even only in integers.
  EXPECT_EQ(round_half_even((index_t{1} << 53) + 1, 2), index_t{1} << 52);
  EXPECT_EQ(round_half_even((index_t{1} << 53) + 3, 2), (index_t{1} << 52) + 2);
}

}  // namespace
}  // namespace vitsnna::explain
