// Writing on pictures: what fits, where lines break, and that ink lands where it was asked for.
#include "explain/pictures/text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace vitsnna::explain {
namespace {

const TextStyle kStyle = {12, {255, 255, 255}, false};

Image black(index_t height, index_t width) {
  return {height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * height * width))};
}

/// The rows and columns between which anything was written.
struct Box {
  index_t top = 1 << 20, bottom = -1, left = 1 << 20, right = -1;
};
Box ink_of(const Image& image) {
  Box box;
  for (index_t y = 0; y < image.height; ++y) {
    for (index_t x = 0; x < image.width; ++x) {
      if (image.rgb[static_cast<std::size_t>(3 * (y * image.width + x))] < 64) continue;
      box.top = std::min(box.top, y);
      box.bottom = std::max(box.bottom, y);
      box.left = std::min(box.left, x);
      box.right = std::max(box.right, x);
    }
  }
  return box;
}

TEST(Text, CapitalsStandOnTheBaselineAtTheSizeAskedFor) {
  for (const int size : {10, 14, 24}) {
    Image image = black(100, 300);
    const TextStyle style = {size, {255, 255, 255}, false};
    draw_text(image, 20, 60, "HEX", style);
    const Box box = ink_of(image);
    EXPECT_NEAR(static_cast<double>(box.bottom), 60, 2) << size;
    EXPECT_NEAR(static_cast<double>(box.bottom - box.top + 1), size, 2) << size;
    EXPECT_NEAR(static_cast<double>(box.left), 20, 3) << size;
    // The width counts the space behind the last letter too, less than half a capital.
    const index_t end = 20 + text_width("HEX", style);
    EXPECT_LE(box.right, end + 1) << size;
    EXPECT_GE(box.right, end - size / 2) << size;
  }
}

TEST(Text, OutsideThePictureIsCutOff) {
  Image image = black(20, 20);
  draw_text(image, -30, 5, "out of bounds", kStyle);
  draw_text(image, 15, 25, "out of bounds", kStyle);
  draw_text(image, 500, 500, "out of bounds", kStyle);
  fill_rectangle(image, -5, -5, {100, 100}, {9, 9, 9}, 1);
  EXPECT_EQ(image.rgb, std::vector<std::uint8_t>(1200, 9));
}

TEST(Text, ShorteningFitsAndSaysSo) {
  const std::string name = "American Staffordshire terrier";
  EXPECT_EQ(shorten_text(name, 10000, kStyle), name);
  for (const index_t width : {60, 100, 200}) {
    const std::string line = shorten_text(name, width, kStyle);
    EXPECT_LE(text_width(line, kStyle), width);
    EXPECT_EQ(line.substr(line.size() - 3), "...");
  }
}

TEST(Text, WrappingLosesNoWordUntilTheLastLine) {
  const std::string name = "American Staffordshire terrier, Staffordshire terrier";
  const index_t width = text_width("Staffordshire terrier", kStyle) + 2;
  const std::vector<std::string> lines = wrap_text(name, width, 5, kStyle);
  std::string joined;
  for (const std::string& line : lines) {
    EXPECT_LE(text_width(line, kStyle), width);
    joined += (joined.empty() ? "" : " ") + line;
  }
  EXPECT_EQ(joined, name);
  EXPECT_EQ(wrap_text(name, width, 2, kStyle).size(), 2u);
  EXPECT_EQ(wrap_text("", width, 2, kStyle).size(), 0u);
}

TEST(Text, OneEndlessWordIsBroken) {
  const std::string word(80, 'm');
  const std::vector<std::string> lines = wrap_text(word, 100, 3, kStyle);
  ASSERT_EQ(lines.size(), 3u);
  for (const std::string& line : lines) EXPECT_LE(text_width(line, kStyle), 100);
  EXPECT_EQ(wrap_text(word, 1, 3, kStyle).size(), 3u) << "narrower than a letter still ends";
}

TEST(Text, CharactersThatTheFontLacksAreOneMarkEach) {
  EXPECT_EQ(text_width("caf\xC3\xA9", kStyle), text_width("caf?", kStyle));
  EXPECT_EQ(text_width("\xE7\x8A\xAC", kStyle), text_width("?", kStyle));
  EXPECT_EQ(shorten_text("a\nb\tc", 1000, kStyle), "a?b?c");
}

}  // namespace
}  // namespace vitsnna::explain
