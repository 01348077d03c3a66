// Writing on pictures: one stroke font, antialiased, sized by the height of its capitals.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "explain/image.h"

namespace vitsnna::explain {

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
};

struct TextStyle {
  int capital_height = 12;  ///< pixels from the baseline to the top of a capital letter
  Colour colour;
  bool bold = false;
};

/// Pixels from the left edge of the first letter to the right edge of the last. Characters outside
/// printable ASCII are drawn, and measured, as one '?' each.
index_t text_width(std::string_view text, const TextStyle& style);

/// Writes with the left end of the baseline at (left, baseline); what falls outside is cut off.
void draw_text(Image& image, index_t left, index_t baseline, std::string_view text,
               const TextStyle& style);

/// `text`, or as much of its beginning as fits in `width` with "..." after it.
std::string shorten_text(std::string_view text, index_t width, const TextStyle& style);

/// Lines of at most `width`, broken after spaces, commas, underscores and hyphens, or inside a word
/// that is too long; at most `max_lines`, the last of them shortened where there is more.
std::vector<std::string> wrap_text(std::string_view text, index_t width, std::size_t max_lines,
                                   const TextStyle& style);

/// Fills the part of the rectangle that lies inside; `opacity` in [0, 1].
void fill_rectangle(Image& image, index_t top, index_t left, Extent size, Colour colour,
                    double opacity);

}  // namespace vitsnna::explain
