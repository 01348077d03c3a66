// Text is drawn by OpenCV four times too large as a mask, reduced by area averaging, and blended:
// its own antialiasing at small sizes is too rough to read.
#include "explain/pictures/text.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace vitsnna::explain {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr int kOversampling = 4;
constexpr double kCapitalUnits = 21;  ///< height of a capital in the font's own units
constexpr std::string_view kEllipsis = "...";

int stroke(const TextStyle& style) {
  const double share = style.bold ? .18 : .12;
  return std::max(1, static_cast<int>(std::lround(kOversampling * style.capital_height * share)));
}

/// The stroke is drawn half outside the letter's outline, above and below.
double font_scale(const TextStyle& style) {
  return (kOversampling * style.capital_height - stroke(style)) / kCapitalUnits;
}

/// UTF-8 to what the font has: one '?' for each character beyond printable ASCII.
std::string drawable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 && byte < 0xC0) continue;  // continues a character already counted
    out += byte >= ' ' && byte <= '~' ? c : '?';
  }
  return out;
}

std::uint8_t mix(std::uint8_t below, std::uint8_t above, double opacity) {
  return static_cast<std::uint8_t>(std::lround(below + opacity * (above - below)));
}

bool may_break_after(char c) { return c == ' ' || c == ',' || c == '_' || c == '-' || c == '/'; }

std::string trimmed(std::string_view text) {
  const std::size_t from = text.find_first_not_of(' ');
  if (from == std::string_view::npos) return {};
  return std::string(text.substr(from, text.find_last_not_of(' ') - from + 1));
}

}  // namespace

index_t text_width(std::string_view text, const TextStyle& style) {
  const std::string line = drawable(text);
  if (line.empty()) return 0;
  int below = 0;
  const cv::Size size = cv::getTextSize(line, kFont, font_scale(style), stroke(style), &below);
  return (size.width + kOversampling - 1) / kOversampling;
}

void draw_text(Image& image, index_t left, index_t baseline, std::string_view text,
               const TextStyle& style) {
  const std::string line = drawable(text);
  if (line.empty()) return;
  // A margin of one capital height on every side holds descenders and stroke ends.
  const int margin = style.capital_height;
  const int width = static_cast<int>(text_width(text, style)) + 2 * margin;
  const int height = 3 * style.capital_height;
  cv::Mat large(height * kOversampling, width * kOversampling, CV_8UC1, cv::Scalar(0));
  cv::putText(large, line,
              cv::Point(margin * kOversampling, 2 * style.capital_height * kOversampling), kFont,
              font_scale(style), cv::Scalar(255), stroke(style), cv::LINE_AA);
  cv::Mat mask;
  cv::resize(large, mask, cv::Size(width, height), 0, 0, cv::INTER_AREA);
  const std::uint8_t ink[3] = {style.colour.red, style.colour.green, style.colour.blue};
  for (int row = 0; row < height; ++row) {
    const index_t y = baseline - 2 * style.capital_height + row;
    if (y < 0 || y >= image.height) continue;
    for (int column = 0; column < width; ++column) {
      const index_t x = left - margin + column;
      if (x < 0 || x >= image.width) continue;
      const double opacity = mask.at<std::uint8_t>(row, column) / 255.;
      std::uint8_t* pixel = image.rgb.data() + 3 * (y * image.width + x);
      for (int c = 0; c < 3; ++c) pixel[c] = mix(pixel[c], ink[c], opacity);
    }
  }
}

std::string shorten_text(std::string_view text, index_t width, const TextStyle& style) {
  std::string line = drawable(text);
  if (text_width(line, style) <= width) return line;
  while (!line.empty() && text_width(trimmed(line) + std::string(kEllipsis), style) > width) {
    line.pop_back();
  }
  return trimmed(line) + std::string(kEllipsis);
}

std::vector<std::string> wrap_text(std::string_view text, index_t width, std::size_t max_lines,
                                   const TextStyle& style) {
  std::vector<std::string> lines;
  std::string rest = trimmed(drawable(text));
  while (!rest.empty()) {
    if (lines.size() + 1 == max_lines || text_width(rest, style) <= width) {
      lines.push_back(shorten_text(rest, width, style));
      break;
    }
    // The longest beginning that fits, cut back to a place where a line may end.
    std::size_t fits = 1;
    while (fits < rest.size() && text_width(trimmed(rest.substr(0, fits + 1)), style) <= width) {
      ++fits;
    }
    std::size_t end = fits;
    while (end > 0 && !may_break_after(rest[end - 1])) --end;
    if (end == 0) end = fits;
    lines.push_back(trimmed(rest.substr(0, end)));
    rest = trimmed(rest.substr(end));
  }
  return lines;
}

void fill_rectangle(Image& image, index_t top, index_t left, Extent size, Colour colour,
                    double opacity) {
  const std::uint8_t ink[3] = {colour.red, colour.green, colour.blue};
  const index_t bottom = std::min(top + size.height, image.height);
  const index_t right = std::min(left + size.width, image.width);
  for (index_t y = std::max<index_t>(top, 0); y < bottom; ++y) {
    for (index_t x = std::max<index_t>(left, 0); x < right; ++x) {
      std::uint8_t* pixel = image.rgb.data() + 3 * (y * image.width + x);
      for (int c = 0; c < 3; ++c) pixel[c] = mix(pixel[c], ink[c], opacity);
    }
  }
}

}  // namespace vitsnna::explain
