// Reads a few bytes of each format's header; of JPEG, from segment to segment to the frame's, of
// PNG and WebP from chunk to chunk to the orientation.
#include "engine/images/image_header.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "engine/images/exif.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

struct Reader {
  std::ifstream in;
  bool cut = false;  ///< something was wanted beyond the file's end

  std::string bytes(std::int64_t offset, std::int64_t count) {
    std::string raw(static_cast<std::size_t>(count), '\0');
    in.clear();
    in.seekg(offset);
    in.read(raw.data(), count);
    if (in.gcount() != count) {
      cut = true;
      return {};
    }
    return raw;
  }

  /// `count` bytes at `offset`, most significant byte first or last; -1 beyond the file's end.
  std::int64_t number(std::int64_t offset, int count, bool big_endian) {
    const std::string raw = bytes(offset, count);
    if (raw.empty()) return -1;
    std::int64_t value = 0;
    for (int k = 0; k < count; ++k) {
      const auto at = static_cast<std::size_t>(big_endian ? k : count - 1 - k);
      value = value << 8 | static_cast<unsigned char>(raw[at]);
    }
    return value;
  }
};

/// As it lies in the file, and EXIF's orientation.
struct Header {
  Extent extent;
  int orientation = 1;
};

int orientation_in(const std::string& exif) {
  return exif_orientation({reinterpret_cast<const std::uint8_t*>(exif.data()), exif.size()});
}

Header jpeg_header(Reader& file) {
  Header header;
  bool seen_exif = false;
  for (std::int64_t at = 2;;) {
    const std::int64_t marker = file.number(at, 2, true);
    if (marker < 0xFF00) return {};  // the end, or no marker
    const auto kind = static_cast<int>(marker & 0xFF);
    if (kind == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    const bool is_frame =
        kind >= 0xC0 && kind <= 0xCF && kind != 0xC4 && kind != 0xC8 && kind != 0xCC;
    if (is_frame) {
      header.extent = {file.number(at + 5, 2, true), file.number(at + 7, 2, true)};
      return header;
    }
    if (kind == 0xD9 || kind == 0xDA) return {};
    const std::int64_t length = file.number(at + 2, 2, true);
    if (length < 2) return {};
    if (kind == 0xE1 && !seen_exif) {
      const std::string segment = file.bytes(at + 4, length - 2);
      seen_exif = segment.size() > 6 && segment.starts_with(std::string("Exif\0\0", 6));
      if (seen_exif) header.orientation = orientation_in(segment);
    }
    at += 2 + length;
  }
}

Header png_header(Reader& file) {
  Header header;
  header.extent = {file.number(20, 4, true), file.number(16, 4, true)};
  constexpr std::int64_t most_exif = 1 << 16, overhead = 12;  // length, name and checksum
  for (std::int64_t at = 8; !file.cut;) {
    const std::int64_t length = file.number(at, 4, true);
    const std::string name = file.bytes(at + 4, 4);
    if (name == "IDAT" || name == "IEND") break;
    if (name == "eXIf" && length >= 0 && length <= most_exif) {
      header.orientation = orientation_in(file.bytes(at + 8, length));
    }
    at += overhead + length;
  }
  return header;
}

Header webp_header(Reader& file, std::string_view chunk) {
  Header header;
  if (chunk == "VP8X") {
    header.extent = {file.number(27, 3, false) + 1, file.number(24, 3, false) + 1};
    constexpr std::int64_t has_exif = 8, most_exif = 1 << 16;
    if (file.cut || !(file.number(20, 1, false) & has_exif)) return header;
    const std::int64_t end = file.number(4, 4, false) + 8;
    for (std::int64_t at = 12; at + 8 <= end && !file.cut;) {
      const std::int64_t length = file.number(at + 4, 4, false);
      if (file.bytes(at, 4) == "EXIF" && length >= 0 && length <= most_exif) {
        header.orientation = orientation_in(file.bytes(at + 8, length));
      }
      at += 8 + length + length % 2;
    }
  } else if (chunk == "VP8 ") {
    header.extent = {file.number(28, 2, false) & 0x3FFF, file.number(26, 2, false) & 0x3FFF};
  } else if (chunk == "VP8L") {
    const std::int64_t packed = file.number(21, 4, false);
    header.extent = {(packed >> 14 & 0x3FFF) + 1, (packed & 0x3FFF) + 1};
  }
  return header;
}

Header bmp_header(Reader& file) {
  if (file.number(14, 4, false) == 12) {
    return {{file.number(20, 2, false), file.number(18, 2, false)}};
  }
  const auto height = static_cast<std::int32_t>(file.number(22, 4, false));
  return {{std::abs(std::int64_t{height}), file.number(18, 4, false)}};
}

}  // namespace

Extent image_extent(const std::string& path) {
  Reader file{std::ifstream(path, std::ios::binary)};
  if (!file.in) throw Error(path + ": cannot be opened");
  std::array<char, 16> start{};
  file.in.read(start.data(), start.size());
  const std::string_view seen(start.data(), static_cast<std::size_t>(file.in.gcount()));
  Header header;
  if (seen.starts_with("\xFF\xD8\xFF")) {
    header = jpeg_header(file);
  } else if (seen.starts_with("\x89PNG\r\n\x1A\n")) {
    header = png_header(file);
  } else if (seen.starts_with("RIFF") && seen.size() == 16 && seen.substr(8, 4) == "WEBP") {
    header = webp_header(file, seen.substr(12, 4));
  } else if (seen.starts_with("BM")) {
    header = bmp_header(file);
  }
  Extent& extent = header.extent;
  if (file.cut || extent.height < 1 || extent.width < 1) {
    throw Error(fmt::format("{}: no size in its header, JPEG, PNG, WebP or BMP wanted", path));
  }
  if (header.orientation >= 5) std::swap(extent.height, extent.width);
  return extent;
}

}  // namespace vitsnna::engine
