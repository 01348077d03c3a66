// EXIF orientation: a walk over one TIFF directory, every offset checked, and the turn it asks for.
#include "engine/images/exif.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace vitsnna::engine {
namespace {

/// Big- or little-endian numbers at checked offsets; 0 outside the data.
struct TiffReader {
  std::span<const std::uint8_t> data;
  bool big_endian = false;

  std::uint32_t number(std::size_t offset, std::size_t bytes) const {
    if (offset > data.size() || bytes > data.size() - offset) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      const std::size_t from = big_endian ? i : bytes - 1 - i;
      value = value << 8 | data[offset + from];
    }
    return value;
  }
};

}  // namespace

int exif_orientation(std::span<const std::uint8_t> tiff) {
  constexpr std::uint8_t kPrefix[] = {'E', 'x', 'i', 'f', 0, 0};
  if (tiff.size() >= sizeof kPrefix && std::equal(kPrefix, kPrefix + sizeof kPrefix, tiff.data())) {
    tiff = tiff.subspan(sizeof kPrefix);
  }
  if (tiff.size() < 8) return 1;
  TiffReader reader{tiff};
  if (tiff[0] == 'M' && tiff[1] == 'M') {
    reader.big_endian = true;
  } else if (tiff[0] != 'I' || tiff[1] != 'I') {
    return 1;
  }
  if (reader.number(2, 2) != 42) return 1;
  const std::size_t directory = reader.number(4, 4);
  const std::size_t entries = reader.number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    if (reader.number(entry, 2) != 0x0112) continue;
    constexpr std::uint32_t kShort = 3;
    if (reader.number(entry + 2, 2) != kShort) return 1;
    const std::uint32_t value = reader.number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image apply_orientation(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const bool transposed = orientation >= 5;
  // Output pixel (y, x) is source pixel (row, column), where (row, column) is (y, x), or (x, y)
  // when transposed, counted from the far side where the picture is flipped along it.
  const bool flip_rows =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool flip_columns =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Image upright;
  upright.height = transposed ? image.width : image.height;
  upright.width = transposed ? image.height : image.width;
  upright.rgb.resize(image.rgb.size());
  std::uint8_t* out = upright.rgb.data();
  for (index_t y = 0; y < upright.height; ++y) {
    for (index_t x = 0; x < upright.width; ++x, out += 3) {
      index_t row = transposed ? x : y, column = transposed ? y : x;
      if (flip_rows) row = image.height - 1 - row;
      if (flip_columns) column = image.width - 1 - column;
      std::copy_n(image.rgb.data() + 3 * (row * image.width + column), 3, out);
    }
  }
  return upright;
}

}  // namespace vitsnna::engine
