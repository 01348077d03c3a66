// Data sets of real image files: scaled decoding, sizes from headers, the survey of a set.
#include "train/data/image_files.h"

#include <gtest/gtest.h>

#include <string_view>
#include <utility>

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
  // Eighths, rounded up: 361 x 640 in 6, 5, .. 1 of them, and never in 7.
  for (const Case& c :
       {Case{0, 361, 640}, Case{361, 361, 640}, Case{272, 361, 640}, Case{271, 271, 480},
        Case{227, 271, 480}, Case{226, 226, 400}, Case{182, 226, 400}, Case{181, 181, 320},
        Case{137, 181, 320}, Case{136, 136, 240}, Case{92, 136, 240}, Case{91, 91, 160},
        Case{47, 91, 160}, Case{46, 46, 80}, Case{1, 46, 80}}) {
    EXPECT_EQ(read(path, c.least).extent(), (engine::Extent{c.height, c.width})) << c.least;
  }
  EXPECT_EQ(read(put("a.png", 361, 640), 46).height, 361);
  // BDD-100K's frames under DINO's default crops, whose locals ask for 430.
  EXPECT_EQ(read(put("b.jpg", 720, 1280), least_short_side(dino_recipe())).extent(),
            (engine::Extent{450, 800}));
}

TEST_F(ImageFiles, HeadersTellTheSize) {
  for (const char* name : {"a.jpg", "a.png", "a.webp", "a.bmp"}) {
    EXPECT_EQ(engine::image_extent(put(name, 37, 53)), (engine::Extent{37, 53})) << name;
  }
  const std::string jpeg = test::read_bytes(put("b.jpg", 11, 12));
  for (const std::string& bad : {std::string(), std::string("text"), jpeg.substr(0, 20)}) {
    test::write_bytes(directory_ / "bad.jpg", bad);
    EXPECT_ERROR(engine::image_extent((directory_ / "bad.jpg").string()), "bad.jpg");
  }
}

/// The size is that of the picture that read_image() gives, for every orientation.
TEST_F(ImageFiles, HeadersTellTheSizeOfTheUprightPicture) {
  const std::string jpeg = test::read_bytes(put("a.jpg", 11, 14));
  const std::string png = test::read_bytes(put("a.png", 11, 14));
  const std::string webp =
      test::encode(".webp", test::gradient_image(11, 14), {cv::IMWRITE_WEBP_QUALITY, 90});
  ASSERT_EQ(webp.substr(12, 4), "VP8 ");
  for (int orientation = 0; orientation <= 9; ++orientation) {
    const std::string block = test::exif_block(orientation);
    const std::pair<const char*, std::string> files[] = {
        {"x.jpg", test::with_exif(jpeg, block)},
        {"x.jpg", test::with_exif(test::with_exif(jpeg, block), test::exif_block(1))},
        {"x.png", test::with_png_exif(png, block)},
        {"x.webp", test::with_webp_exif(webp, block, 11, 14)}};
    for (const auto& [name, bytes] : files) {
      const std::string path = (directory_ / name).string();
      test::write_bytes(path, bytes);
      EXPECT_EQ(engine::image_extent(path), image_files()(path, 0).extent())
          << name << " " << orientation;
      const bool turned = orientation >= 5 && orientation <= 8;
      if (bytes != files[1].second) {
        EXPECT_EQ(engine::image_extent(path).height, turned ? 14 : 11) << name << orientation;
      }
    }
  }
}

/// However short a file is cut: the size that the whole one has, or an Error.
TEST_F(ImageFiles, HeadersThatAreCutGiveNoOtherSize) {
  const Image image = test::gradient_image(37, 53);
  const std::string jpeg = test::encode(".jpg", image), png = test::encode(".png", image);
  const std::string lossless = test::encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 101});
  const std::string lossy = test::encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 90});
  const std::string block = test::exif_block(6);
  const engine::Extent as_it_lies{37, 53}, turned{53, 37};
  const std::pair<std::string, engine::Extent> files[] = {
      {jpeg, as_it_lies},
      {png, as_it_lies},
      {lossless, as_it_lies},
      {lossy, as_it_lies},
      {test::encode(".bmp", image), as_it_lies},
      {test::with_exif(jpeg, block), turned},
      {test::with_png_exif(png, block), turned},
      {test::with_webp_exif(lossless, block, 37, 53), turned},
      {test::with_webp_exif(lossy, block, 37, 53), turned}};
  const std::string path = (directory_ / "cut").string();
  for (const auto& [whole, extent] : files) {
    const auto of = [&, &whole = whole] { return testing::PrintToString(whole.substr(0, 16)); };
    const std::size_t header = std::min<std::size_t>(whole.size(), 300);
    for (std::size_t kept = 0; kept < header; ++kept) {
      test::write_bytes(path, whole.substr(0, kept));
      try {
        EXPECT_EQ(engine::image_extent(path), extent) << of() << ": " << kept;
      } catch (const Error&) {
      }
    }
    for (std::size_t cut = 1; cut < 60; ++cut) {  // through a chunk behind the pixels
      test::write_bytes(path, whole.substr(0, whole.size() - cut));
      try {
        EXPECT_EQ(engine::image_extent(path), extent) << of() << ": less " << cut;
      } catch (const Error&) {
      }
    }
    test::write_bytes(path, whole);
    EXPECT_EQ(engine::image_extent(path), extent) << of();
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
  for (const char* part :
       {"train: 4 images (snna", "30x40: 2, 20x40: 1", "readable header: 1", "forward 3 (75.0%)",
        "train and val share 1 names and 1 files", "decoded at full size: 0.0 MiB"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST_F(ImageFiles, ASurveySaysWhatDecodedImagesTake) {
  Dataset set;
  for (int k = 0; k < 6; ++k) {
    const std::string name = std::to_string(k) + ".png";
    set.samples.push_back({put(name, k % 2 == 0 ? 512 : 1024, 512), name});
  }
  // Three bytes for each of 3 * 512 * 512 + 3 * 1024 * 512 pixels; by two headers as by all.
  constexpr double bytes = 3. * 9 * 512 * 512;
  EXPECT_EQ(summarise({&set}).sets[0].decoded_bytes, bytes);
  EXPECT_EQ(summarise({&set}, 2).sets[0].decoded_bytes, bytes);
  EXPECT_NE(text_of(summarise({&set})).find("full size: 6.8 MiB"), std::string::npos);
  EXPECT_NE(text_of(summarise({&set}, 2)).find("full size: about 6.8 MiB"), std::string::npos);
}

TEST_F(ImageFiles, ASurveyComparesContentsByteForByteOfAsManyAsItIsTold) {
  Dataset first, second;
  const auto add = [&](Dataset& set, const std::string& name, const std::string& content) {
    test::write_bytes(directory_ / name, content);
    set.samples.push_back({(directory_ / name).string(), name});
  };
  const std::string plain(4000, 'a');
  std::string at_the_end = plain, in_the_middle = plain;
  at_the_end.back() = in_the_middle[2000] = 'b';
  add(first, "1", plain);
  add(first, "2", in_the_middle);
  add(second, "3", plain);
  add(second, "4", at_the_end);   // of the same size, with the same middle
  add(second, "5", plain + "a");  // of another size
  add(second, "6", in_the_middle);
  const Overlap all = summarise({&first, &second}).overlaps[0];
  EXPECT_EQ(all.same_content, 2);
  EXPECT_EQ(all.compared, 4);
  EXPECT_EQ(all.example, second.samples[0].path);
  const DataSummary some = summarise({&first, &second}, 1, 2);  // 3 and 5
  EXPECT_EQ(some.overlaps[0].same_content, 1);
  EXPECT_NE(text_of(some).find("share 0 names and 1 of 2 files compared"), std::string::npos)
      << text_of(some);
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
