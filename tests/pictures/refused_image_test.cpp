// What read_image() refuses: each in one line that names the file, with nothing on standard error.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/images/read_image.h"
#include "tests/pictures/fixtures.h"
#include "tests/pictures/image_files.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::explain {
namespace {

using engine::read_image;

using test::encode;
using test::gradient_image;

class RefusedImage : public testing::Test {
 protected:
  void SetUp() override { testing::internal::CaptureStderr(); }
  void TearDown() override { EXPECT_EQ(testing::internal::GetCapturedStderr(), ""); }

  std::string file(const std::string& bytes) const {
    const auto path = directory_ / "picture.jpg";
    std::filesystem::remove(path);  // some file systems flush a file that is cut and rewritten
    test::write_bytes(path, bytes);
    return path.string();
  }

  /// Whether the bytes are read as a picture; what is thrown must be an Error of one line.
  bool accepted(const std::string& bytes) const {
    const std::string path = file(bytes);
    try {
      read_image(path);
      return true;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      EXPECT_EQ(message.find(path + ": "), 0u) << message;
      return false;
    }
  }

  test::TempDirectory directory_;
};

struct NamedFile {
  std::string name, bytes;
};

std::vector<NamedFile> small_files() {
  const Image image = gradient_image(11, 14);
  return {{"JPEG", encode(".jpg", image)},
          {"progressive JPEG", encode(".jpg", image, {cv::IMWRITE_JPEG_PROGRESSIVE, 1})},
          {"CMYK JPEG", test::from_hex(test::kJpegCmyk.hex)},
          {"PNG", encode(".png", image)},
          {"palette PNG", test::from_hex(test::kPngPalette.hex)},
          {"WebP", encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 90})},
          {"lossless WebP", encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 101})},
          {"BMP", encode(".bmp", image)}};
}

TEST_F(RefusedImage, MissingDirectoryEmptyAndPipe) {
  EXPECT_ERROR(read_image((directory_ / "none.png").string()), "none.png", "no such file");
  EXPECT_ERROR(read_image((directory_ / "none" / "x.png").string()), "x.png", "no such file");
  EXPECT_ERROR(read_image(directory_.path().string()), directory_.path().string(), "directory");
  EXPECT_ERROR(read_image(file("")), "picture.jpg", "empty");
  const std::string pipe = (directory_ / "pipe.png").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_ERROR(read_image(pipe), "pipe.png", "not a regular file");
}

TEST_F(RefusedImage, WhatIsNoImage) {
  EXPECT_ERROR(read_image(file("hello, world")), "picture.jpg", "\"hello, w\"",
               "JPEG, PNG, WebP or BMP");
  EXPECT_ERROR(read_image(file(std::string("GIF89a\0\1", 8))), "picture.jpg", "47 49 46");
  EXPECT_ERROR(read_image(file("x")), "picture.jpg", "\"x\"");
  EXPECT_ERROR(read_image(file(std::string(4096, '\0'))), "picture.jpg", "00 00");
  EXPECT_ERROR(read_image(file("\x89PNG\r\n\x1A\n")), "picture.jpg", "PNG");
  EXPECT_ERROR(read_image(file("\xFF\xD8\xFF")), "picture.jpg", "JPEG");
  EXPECT_ERROR(read_image(file("BM")), "picture.jpg", "BMP");
  EXPECT_ERROR(read_image(file(std::string("RIFF\4\0\0\0WEBP", 12))), "picture.jpg", "WebP");
}

TEST_F(RefusedImage, EveryBeginningOfAFile) {
  for (const NamedFile& whole : small_files()) {
    ASSERT_GT(whole.bytes.size(), 32u) << whole.name;
    EXPECT_TRUE(accepted(whole.bytes)) << whole.name;
    for (std::size_t kept = 0; kept < whole.bytes.size(); ++kept) {
      ASSERT_FALSE(accepted(whole.bytes.substr(0, kept)))
          << whole.name << ": " << kept << " of " << whole.bytes.size() << " bytes";
    }
  }
}

TEST_F(RefusedImage, TruncatedIsSaid) {
  const Image image = gradient_image(64, 64);
  for (const char* extension : {".jpg", ".png", ".bmp", ".webp"}) {
    const std::string whole = encode(extension, image);
    EXPECT_ERROR(read_image(file(whole.substr(0, whole.size() / 2))), "picture.jpg", "truncated");
  }
}

TEST_F(RefusedImage, PictureDataThatIsNotThereThoughTheFileEndsWell) {
  const std::string jpeg = encode(".jpg", gradient_image(64, 64));
  const std::string hole = jpeg.substr(0, jpeg.size() / 2) + "\xFF\xD9";
  EXPECT_ERROR(read_image(file(hole)), "picture.jpg", "JPEG");
  std::string png = encode(".png", gradient_image(64, 64));
  png[png.size() / 2] = static_cast<char>(png[png.size() / 2] ^ 0x55);
  EXPECT_ERROR(read_image(file(png)), "picture.jpg", "damaged PNG");
}

TEST_F(RefusedImage, HeadersThatClaimTooMuchBeforeAnythingIsDecoded) {
  const Image image = gradient_image(24, 30);
  const std::string png = encode(".png", image), jpeg = encode(".jpg", image);
  const std::string progressive = encode(".jpg", image, {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  for (const std::string& huge :
       {test::png_claiming(png, 40000, 40000), test::jpeg_claiming(jpeg, 40000, 40000),
        test::jpeg_claiming(progressive, 40000, 40000)}) {
    EXPECT_ERROR(read_image(file(huge)), "picture.jpg", "40000 x 40000", "134217728");
  }
  std::string bmp = encode(".bmp", image);
  bmp.replace(18, 8, std::string("\x40\x9C\0\0\x40\x9C\0\0", 8));
  EXPECT_ERROR(read_image(file(bmp)), "picture.jpg", "40000 x 40000", "134217728");
  std::string webp = encode(".webp", image, {cv::IMWRITE_WEBP_QUALITY, 101});
  webp.replace(21, 4, "\xFF\xFF\xFF\x0F");  // VP8L: twice 14 bits
  EXPECT_ERROR(read_image(file(webp)), "picture.jpg", "16384 x 16384", "134217728");
  EXPECT_ERROR(read_image(file(test::png_claiming(png, 8193, 16384))), "8193 x 16384");
}

TEST_F(RefusedImage, HeadersWithoutPixels) {
  const Image image = gradient_image(24, 30);
  EXPECT_FALSE(accepted(test::png_claiming(encode(".png", image), 0, 30)));
  EXPECT_FALSE(accepted(test::jpeg_claiming(encode(".jpg", image), 24, 0)));
  std::string bmp = encode(".bmp", image);
  bmp.replace(18, 4, std::string(4, '\0'));
  EXPECT_FALSE(accepted(bmp));
}

TEST_F(RefusedImage, BitmapsThatOpenCvWouldComplainAbout) {
  const std::string bmp = encode(".bmp", cv::Mat(24, 30, CV_8UC1, cv::Scalar(7)));
  const auto patched = [&](std::size_t at, const std::string& bytes) {
    std::string copy = bmp;
    return copy.replace(at, bytes.size(), bytes);
  };
  EXPECT_FALSE(accepted(patched(14, std::string("\xFF\xFF\xFF\xFF", 4))));  // header size
  EXPECT_FALSE(accepted(patched(14, std::string("\x05\0\0\0", 4))));        // header size
  EXPECT_FALSE(accepted(patched(28, std::string("\x07\0", 2))));            // depth
  EXPECT_FALSE(accepted(patched(30, std::string("\x01\0\0\0", 4))));        // run lengths
  EXPECT_FALSE(accepted(patched(46, std::string("\x01\x01\0\0", 4))));      // 257 colours
  EXPECT_FALSE(accepted(patched(46, std::string("\xFF\xFF\xFF\xFF", 4))));  // -1 colours
  EXPECT_FALSE(accepted(patched(18, std::string("\xFF\xFF\xFF\xFF", 4))));  // width -1
}

/// A damaged byte anywhere: a picture or an Error, never a crash or a line on standard error.
TEST_F(RefusedImage, DamageIsAnErrorOrAPicture) {
  std::uint32_t state = 7;
  const auto random = [&](std::size_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
  };
  for (const NamedFile& whole : small_files()) {
    for (int round = 0; round < 150; ++round) {
      std::string bytes = whole.bytes;
      // Headers more often than the rest.
      const std::size_t reach =
          round % 2 == 0 ? bytes.size() : std::min<std::size_t>(48, bytes.size());
      for (std::size_t change = 0; change <= random(3); ++change) {
        bytes[random(reach)] = static_cast<char>(random(256));
      }
      accepted(bytes);
    }
  }
}

}  // namespace
}  // namespace vitsnna::explain
