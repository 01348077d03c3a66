// JPEGs that are decoded in fewer eighths of their sides: the same picture, upright, not aliased.
#include <gtest/gtest.h>

#include <cmath>
#include <opencv2/imgproc.hpp>

#include "engine/images/read_image.h"
#include "tests/pictures/fixtures.h"
#include "tests/pictures/image_files.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::explain {
namespace {

constexpr index_t kEighths[] = {1, 2, 3, 4, 5, 6};

class ScaledJpeg : public testing::Test {
 protected:
  Image read(const std::string& bytes, index_t least_short_side = 0) const {
    const auto path = directory_ / "picture.jpg";
    test::write_bytes(path, bytes);
    return engine::read_image(path.string(), least_short_side);
  }

  test::TempDirectory directory_;
};

cv::Mat mat_of(const Image& image) {
  return {static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3,
          const_cast<std::uint8_t*>(image.rgb.data())};
}

/// The mean distance to the whole picture, each pixel of which is averaged into a smaller one's.
double distance_to_means(const Image& whole, const Image& scaled) {
  cv::Mat means;
  cv::resize(mat_of(whole), means, mat_of(scaled).size(), 0, 0, cv::INTER_AREA);
  return cv::norm(means, mat_of(scaled), cv::NORM_L1) / static_cast<double>(scaled.rgb.size());
}

/// A smooth picture in colours; of sides that eighths divide.
Image smooth(index_t height, index_t width) {
  Image image{height, width, {}};
  for (index_t y = 0; y < height; ++y) {
    for (index_t x = 0; x < width; ++x) {
      image.rgb.push_back(static_cast<std::uint8_t>(y * 255 / height));
      image.rgb.push_back(static_cast<std::uint8_t>(x * 255 / width));
      image.rgb.push_back(static_cast<std::uint8_t>(255 - y * 255 / height));
    }
  }
  return image;
}

TEST_F(ScaledJpeg, IsTheSamePictureInColoursAndInGrey) {
  const Image picture = smooth(160, 240);
  cv::Mat grey;
  cv::cvtColor(mat_of(picture), grey, cv::COLOR_RGB2GRAY);
  const std::vector<int> quality = {cv::IMWRITE_JPEG_QUALITY, 95};
  for (const std::string& file :
       {test::encode(".jpg", picture, quality), test::encode(".jpg", grey, quality)}) {
    const Image whole = read(file);
    for (const index_t eighths : kEighths) {
      const Image scaled = read(file, 20 * eighths);
      ASSERT_EQ(scaled.extent(), (Extent{20 * eighths, 30 * eighths}));
      EXPECT_LT(distance_to_means(whole, scaled), 2.) << eighths;
    }
  }
}

TEST_F(ScaledJpeg, InFourColoursIsTheSamePicture) {
  const std::string file = test::from_hex(test::kJpegCmyk.hex);
  const Image whole = read(file);
  for (const index_t eighths : {4, 6}) {
    const Image scaled = read(file, test::kFixtureHeight * eighths / 8);
    ASSERT_EQ(scaled.extent(),
              (Extent{test::kFixtureHeight * eighths / 8, test::kFixtureWidth * eighths / 8}));
    EXPECT_LT(distance_to_means(whole, scaled), 4.) << eighths;
  }
}

TEST_F(ScaledJpeg, IsTurnedAsExifSays) {
  const std::string file = test::encode(".jpg", smooth(160, 240));
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string turned = test::with_exif(file, test::exif_block(orientation));
    const Image whole = read(turned), scaled = read(turned, 100);
    const bool portrait = orientation >= 5;
    ASSERT_EQ(scaled.extent(), portrait ? (Extent{150, 100}) : (Extent{100, 150})) << orientation;
    EXPECT_LT(distance_to_means(whole, scaled), 2.) << orientation;
  }
}

/// Columns that alternate, of which fewer eighths can show next to nothing: at most what the first
/// cosines of the pattern hold of it (its coefficient k of eight is 1 / sin((8 - k) pi / 16) for
/// odd k). Were columns left out instead, all of the contrast, 100, would stay.
TEST_F(ScaledJpeg, FineLinesFadeInsteadOfAliasing) {
  cv::Mat lines(64, 64, CV_8UC1);
  for (int y = 0; y < lines.rows; ++y) {
    for (int x = 0; x < lines.cols; ++x) lines.at<std::uint8_t>(y, x) = x % 2 == 0 ? 28 : 228;
  }
  const std::string file = test::encode(".jpg", lines, {cv::IMWRITE_JPEG_QUALITY, 100});
  for (const index_t eighths : kEighths) {
    double kept = 0., all = 0.;
    for (int k = 1; k < 8; k += 2) {
      const double energy = std::pow(std::sin((8 - k) * M_PI / 16), -2.);
      all += energy;
      if (k < eighths) kept += energy;
    }
    const Image scaled = read(file, 8 * eighths);
    ASSERT_EQ(scaled.extent(), (Extent{8 * eighths, 8 * eighths}));
    double squares = 0.;
    for (const std::uint8_t value : scaled.rgb) squares += (value - 128.) * (value - 128.);
    EXPECT_LE(std::sqrt(squares / static_cast<double>(scaled.rgb.size())),
              100. * std::sqrt(kept / all) + 1.)  // rounded to 8 bits
        << eighths;
  }
}

}  // namespace
}  // namespace vitsnna::explain
