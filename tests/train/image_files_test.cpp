// Data sets of real image files: scaled decoding, sizes from headers, the survey of a set.
#include "train/data/image_files.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/images/image_header.h"
#include "tests/pictures/image_files.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared_path.h"
#include "tests/support/temp_directory.h"
#include "train/data/loader.h"
#include "train/data/sources/sources.h"
#include "train/data/summary.h"

namespace vitsnna::train {
namespace {

class ImageFiles : public testing::Test {
 protected:
  std::string put(const std::string& name, index_t height, index_t width) {
    const auto path = directory_ / name;
    std::filesystem::create_directories(path.parent_path());
    test::write_bytes(path,
                      test::encode(path.extension().string(), test::gradient_image(height, width)));
    return path.string();
  }
  test::TempDirectory directory_;
};

TEST_F(ImageFiles, AJpegIsReducedNoFurtherThanTheShortSideAllows) {
  const std::string path = put("a.jpg", 361, 640);
  const ImageReader read = image_files();
  struct Case {
    index_t least, height, width;
  };
  for (const Case& c :
       {Case{0, 361, 640}, Case{361, 361, 640}, Case{182, 361, 640}, Case{181, 181, 320},
        Case{92, 181, 320}, Case{91, 91, 160}, Case{46, 46, 80}, Case{1, 46, 80}}) {
    EXPECT_EQ(read(path, c.least).extent(), (engine::Extent{c.height, c.width})) << c.least;
  }
  // The same picture: on average within two levels of the means of the blocks it stands for (edges
  // of the colours, which JPEG stores at half the resolution, are further off).
  const Image full = read(path, 0), half = read(path, 181);
  double difference = 0.;
  for (index_t y = 0; y + 1 < half.height; ++y) {
    for (index_t x = 0; x < half.width; ++x) {
      int sum = 0;
      for (index_t k = 0; k < 4; ++k) {
        sum +=
            full.rgb[static_cast<std::size_t>(((2 * y + k / 2) * full.width + 2 * x + k % 2) * 3)];
      }
      const int red = half.rgb[static_cast<std::size_t>((y * half.width + x) * 3)];
      difference += std::abs(red - sum / 4.);
    }
  }
  EXPECT_LT(difference / static_cast<double>(half.extent().area()), 2.);
  EXPECT_EQ(read(put("a.png", 361, 640), 46).height, 361);
}

TEST_F(ImageFiles, HeadersTellTheSize) {
  for (const char* name : {"a.jpg", "a.png", "a.webp", "a.bmp"}) {
    EXPECT_EQ(engine::image_extent(put(name, 37, 53)), (engine::Extent{37, 53})) << name;
  }
  const std::string jpeg = test::read_bytes(put("b.jpg", 11, 12));
  const auto turned = directory_ / "turned.jpg";
  test::write_bytes(turned, test::with_exif(jpeg, test::exif_block(6)));
  EXPECT_EQ(engine::image_extent(turned.string()), (engine::Extent{11, 12}));
  for (const std::string& bad : {std::string(), std::string("text"), jpeg.substr(0, 20)}) {
    test::write_bytes(directory_ / "bad.jpg", bad);
    EXPECT_ERROR(engine::image_extent((directory_ / "bad.jpg").string()), "bad.jpg");
  }
}

TEST_F(ImageFiles, ASurveyCountsSizesLabelsAndWhatSplitsShare) {
  put("train/a.jpg", 30, 40);
  put("train/b.jpg", 30, 40);
  put("train/c.jpg", 20, 40);
  test::write_bytes(directory_ / "train" / "d.jpg", "not an image");
  std::filesystem::create_directories(directory_ / "val");
  std::filesystem::copy_file(directory_ / "train" / "b.jpg", directory_ / "val" / "x.jpg");
  put("val/c.jpg", 21, 40);
  test::write_bytes(directory_ / "train.json",
                    R"({"a.jpg":[1,0,0,1],"b.jpg":[1,0,0,0],"c.jpg":[0,1,0,0],"d.jpg":[1,0,0,0]})");
  test::write_bytes(directory_ / "val.json", R"({"x.jpg":[1,0,0,1],"c.jpg":[1,0,0,0]})");
  const Dataset train = open_dataset(directory_.path().string(), "train");
  const Dataset val = open_dataset(directory_.path().string(), "val");
  const DataSummary summary = summarise({&train, &val});
  ASSERT_EQ(summary.sets.size(), 2u);
  const SetSummary& set = summary.sets[0];
  EXPECT_EQ(set.images, 4);
  EXPECT_EQ(set.unreadable, 1);
  EXPECT_EQ(set.sizes,
            (std::map<std::pair<index_t, index_t>, index_t>{{{30, 40}, 2}, {{20, 40}, 1}}));
  EXPECT_EQ(set.labels[0].positive, 3);
  EXPECT_EQ(set.labels[1].positive, 1);
  ASSERT_EQ(summary.overlaps.size(), 1u);
  EXPECT_EQ(summary.overlaps[0].same_name, 1);
  EXPECT_EQ(summary.overlaps[0].same_content, 1);
  const std::string text = text_of(summary);
  for (const char* part : {"train: 4 images (snna", "30x40: 2, 20x40: 1", "readable header: 1",
                           "forward 3 (75.0%)", "train and val share 1 names and 1 files"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(RealImageFiles, FramesBecomeBatches) {
  VITSNNA_SHARED_OR_SKIP(path, "data/bdd_drive");
  const Dataset val = open_dataset(path.string(), "val");
  const SetSummary set = summarise({&val}, 20).sets[0];
  EXPECT_EQ(set.sizes, (std::map<std::pair<index_t, index_t>, index_t>{{{180, 320}, 20}}));
  LoaderOptions options;
  DinoCrops sizes;
  sizes.global = {32, 32};
  sizes.local = {16, 16};
  options.crops = dino_recipe(sizes);
  options.batch = 6;
  options.least_short_side = least_short_side(options.crops);
  EXPECT_EQ(options.least_short_side, 72);
  engine::Queue queue(engine::Device{}, 2);
  Loader loader(val, options, image_files(), queue);
  const Batch batch = loader.next();
  ASSERT_EQ(batch.groups.size(), 2u);
  EXPECT_EQ(batch.groups[0].pixels.shape, (engine::Shape{12, 3, 32, 32}));
  EXPECT_EQ(batch.groups[1].pixels.shape, (engine::Shape{48, 3, 16, 16}));
  // Normalised photographs: neither constant nor out of the range that 8 bits have.
  for (const CropGroup& group : batch.groups) {
    const float* data = group.pixels.f32();
    float least = data[0], most = data[0];
    for (index_t k = 0; k < group.pixels.shape.elements(); ++k) {
      least = std::min(least, data[k]);
      most = std::max(most, data[k]);
    }
    EXPECT_GE(least, -2.13f);
    EXPECT_LT(least, -1.f);
    EXPECT_GT(most, 1.f);
    EXPECT_LE(most, 2.65f);
  }
  EXPECT_EQ(loader.statistics().bad_images, 0);
}

}  // namespace
}  // namespace vitsnna::train
