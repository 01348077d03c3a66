// What read_image() accepts, and that the pixels are Pillow's.
#include "engine/images/read_image.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "tests/pictures/fixtures.h"
#include "tests/pictures/image_files.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::explain {
namespace {

using engine::read_image;

using test::encode;
using test::gradient_image;

class ReadImage : public testing::Test {
 protected:
  Image read(const std::string& bytes) const {
    const auto path = directory_ / "picture";  // no extension: the content decides
    test::write_bytes(path, bytes);
    return read_image(path.string());
  }

  test::TempDirectory directory_;
};

const std::uint8_t* pixel(const Image& image, index_t row, index_t column) {
  return image.rgb.data() + 3 * (row * image.width + column);
}

/// The largest difference of any value; the sizes must agree.
int distance(const Image& a, const Image& b) {
  EXPECT_EQ(a.extent(), b.extent());
  int largest = 0;
  for (std::size_t i = 0; i < std::min(a.rgb.size(), b.rgb.size()); ++i) {
    largest = std::max(largest, std::abs(a.rgb[i] - b.rgb[i]));
  }
  return largest;
}

TEST_F(ReadImage, LosslessFormatsGiveBackEveryPixel) {
  const Image image = gradient_image(37, 61);
  for (const char* extension : {".png", ".bmp"}) {
    EXPECT_EQ(read(encode(extension, image)).rgb, image.rgb) << extension;
  }
  const std::string webp = encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 101});
  EXPECT_EQ(read(webp).rgb, image.rgb) << "lossless WebP";
}

TEST_F(ReadImage, LossyFormatsStayClose) {
  const Image image = gradient_image(40, 64);
  EXPECT_LE(distance(read(encode(".jpg", image, {cv::IMWRITE_JPEG_QUALITY, 100})), image), 12);
  EXPECT_LE(distance(read(encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 95})), image), 24);
  const Image baseline = read(encode(".jpg", image));
  const Image progressive = read(encode(".jpg", image, {cv::IMWRITE_JPEG_PROGRESSIVE, 1}));
  EXPECT_EQ(progressive.rgb, baseline.rgb) << "the same coefficients in another order";
}

/// Pillow's own decoder and this one give the same bits on the same libjpeg; 2 leaves room for one
/// that rounds its colour conversion or its chroma otherwise.
TEST_F(ReadImage, PixelsArePillows) {
  struct {
    const test::Fixture& fixture;
    int tolerance;
  } const cases[] = {{test::kJpeg420, 2},
                     {test::kJpegCmyk, 2},
                     {test::kPngPalette, 0},
                     {test::kPngGrey16, 0},
                     {test::kPngRgba, 0}};
  for (const auto& [fixture, tolerance] : cases) {
    const Image image = read(test::from_hex(fixture.hex));
    ASSERT_EQ(image.extent(), (Extent{test::kFixtureHeight, test::kFixtureWidth})) << fixture.name;
    for (const test::FixturePixel& wanted : fixture.pixels) {
      for (int c = 0; c < 3; ++c) {
        EXPECT_NEAR(pixel(image, wanted.row, wanted.column)[c], wanted.rgb[c], tolerance)
            << fixture.name << " row " << wanted.row << " column " << wanted.column;
      }
    }
  }
}

TEST_F(ReadImage, GreyIsRepeated) {
  cv::Mat grey(9, 14, CV_8UC1);
  for (int y = 0; y < grey.rows; ++y) {
    for (int x = 0; x < grey.cols; ++x) {
      grey.at<std::uint8_t>(y, x) = static_cast<std::uint8_t>(y * 20 + x * 3);
    }
  }
  for (const char* extension : {".png", ".bmp", ".jpg"}) {
    const Image image = read(encode(extension, grey, {cv::IMWRITE_JPEG_QUALITY, 100}));
    ASSERT_EQ(image.extent(), (Extent{9, 14})) << extension;
    for (int y = 0; y < grey.rows; ++y) {
      for (int x = 0; x < grey.cols; ++x) {
        const std::uint8_t* value = pixel(image, y, x);
        EXPECT_EQ(value[0], value[1]);
        EXPECT_EQ(value[1], value[2]);
        EXPECT_NEAR(value[0], grey.at<std::uint8_t>(y, x), extension[1] == 'j' ? 2 : 0);
      }
    }
  }
}

TEST_F(ReadImage, SixteenBitsLoseTheLowerEight) {
  cv::Mat deep(5, 7, CV_16UC3);
  for (int y = 0; y < deep.rows; ++y) {
    for (int x = 0; x < deep.cols; ++x) {
      const auto at = [&](int k) { return static_cast<std::uint16_t>(y * 9001 + x * 3001 + k); };
      deep.at<cv::Vec3w>(y, x) = cv::Vec3w(at(3), at(2000), at(70));
    }
  }
  const Image image = read(encode(".png", deep));
  ASSERT_EQ(image.extent(), (Extent{5, 7}));
  for (int y = 0; y < deep.rows; ++y) {
    for (int x = 0; x < deep.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        EXPECT_EQ(pixel(image, y, x)[c], deep.at<cv::Vec3w>(y, x)[2 - c] >> 8);
      }
    }
  }
}

TEST_F(ReadImage, AlphaIsLeftOutNotComposited) {
  cv::Mat bgra(6, 8, CV_8UC4, cv::Scalar(10, 120, 230, 0));
  bgra.at<cv::Vec4b>(2, 3) = cv::Vec4b(50, 60, 70, 128);
  for (const char* extension : {".png", ".bmp"}) {
    const Image image = read(encode(extension, bgra));
    EXPECT_EQ(pixel(image, 0, 0)[0], 230) << extension;
    EXPECT_EQ(pixel(image, 0, 0)[2], 10) << extension;
    EXPECT_EQ(pixel(image, 2, 3)[0], 70) << extension;
  }
}

/// EXIF: where the file's first row and first column are to be seen.
struct Turn {
  int orientation;
  bool transposed;                       ///< the first row is a column of what is seen
  bool first_row_far, first_column_far;  ///< at the bottom or right instead of the top or left
};
constexpr Turn kTurns[] = {
    {1, false, false, false},  // row 0 top, column 0 left
    {2, false, false, true},   // top, right
    {3, false, true, true},    // bottom, right
    {4, false, true, false},   // bottom, left
    {5, true, false, false},   // left, top
    {6, true, true, false},    // right, top
    {7, true, true, true},     // right, bottom
    {8, true, false, true},    // left, bottom
};

Image turned(const Image& image, const Turn& turn) {
  Image seen{turn.transposed ? image.width : image.height,
             turn.transposed ? image.height : image.width,
             std::vector<std::uint8_t>(image.rgb.size())};
  for (index_t row = 0; row < image.height; ++row) {
    for (index_t column = 0; column < image.width; ++column) {
      const index_t along_rows = turn.first_row_far ? image.height - 1 - row : row;
      const index_t along_columns = turn.first_column_far ? image.width - 1 - column : column;
      const index_t y = turn.transposed ? along_columns : along_rows;
      const index_t x = turn.transposed ? along_rows : along_columns;
      std::copy_n(pixel(image, row, column), 3, seen.rgb.data() + 3 * (y * seen.width + x));
    }
  }
  return seen;
}

TEST_F(ReadImage, PhotographsAreTurnedAsExifSays) {
  const Image image = gradient_image(24, 40);
  const std::string jpeg = encode(".jpg", image), png = encode(".png", image);
  const Image plain = read(jpeg);
  for (const Turn& turn : kTurns) {
    const std::string block = test::exif_block(turn.orientation);
    const Image wanted = turned(plain, turn);
    const Image found = read(test::with_exif(jpeg, block));
    EXPECT_EQ(found.extent(), wanted.extent()) << turn.orientation;
    EXPECT_EQ(found.rgb, wanted.rgb) << turn.orientation;
    const std::string intel = test::exif_block_intel(turn.orientation);
    EXPECT_EQ(read(test::with_exif(jpeg, intel)).rgb, wanted.rgb) << turn.orientation;
    EXPECT_EQ(read(test::with_png_exif(png, block)).rgb, turned(image, turn).rgb);
  }
}

TEST_F(ReadImage, SenselessExifLeavesThePictureAsItIs) {
  const Image image = gradient_image(16, 24);
  const std::string jpeg = encode(".jpg", image);
  const Image plain = read(jpeg);
  const std::string block = test::exif_block(6);
  for (const int orientation : {0, 9, 65535}) {
    EXPECT_EQ(read(test::with_exif(jpeg, test::exif_block(orientation))).rgb, plain.rgb);
  }
  for (std::size_t kept = 0; kept < 20; ++kept) {  // cut before the value
    EXPECT_EQ(read(test::with_exif(jpeg, block.substr(0, kept))).rgb, plain.rgb) << kept;
  }
  std::string far_directory = block;
  far_directory.replace(4, 4, "\xFF\xFF\xFF\xF0");
  EXPECT_EQ(read(test::with_exif(jpeg, far_directory)).rgb, plain.rgb);
  std::string wrong_type = block;
  wrong_type[13] = 2;  // text, not a 16-bit number
  EXPECT_EQ(read(test::with_exif(jpeg, wrong_type)).rgb, plain.rgb);
}

}  // namespace
}  // namespace vitsnna::explain
