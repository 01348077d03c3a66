// Reads a few bytes of each format's header; of JPEG, from segment to segment to the frame's.
#include "engine/images/image_header.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

struct Reader {
  std::ifstream in;

  /// `bytes` at `offset`, most significant byte first or last; -1 beyond the file's end.
  std::int64_t number(std::int64_t offset, int bytes, bool big_endian) {
    std::array<char, 8> raw{};
    in.clear();
    in.seekg(offset);
    in.read(raw.data(), bytes);
    if (in.gcount() != bytes) return -1;
    std::int64_t value = 0;
    for (int k = 0; k < bytes; ++k) {
      const auto at = static_cast<std::size_t>(big_endian ? k : bytes - 1 - k);
      value = value << 8 | static_cast<unsigned char>(raw[at]);
    }
    return value;
  }
};

Extent jpeg_extent(Reader& file) {
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
    if (is_frame) return {file.number(at + 5, 2, true), file.number(at + 7, 2, true)};
    if (kind == 0xD9 || kind == 0xDA) return {};
    const std::int64_t length = file.number(at + 2, 2, true);
    if (length < 2) return {};
    at += 2 + length;
  }
}

Extent webp_extent(Reader& file, std::string_view chunk) {
  if (chunk == "VP8X") return {file.number(27, 3, false) + 1, file.number(24, 3, false) + 1};
  if (chunk == "VP8 ")
    return {file.number(28, 2, false) & 0x3FFF, file.number(26, 2, false) & 0x3FFF};
  const std::int64_t packed = file.number(21, 4, false);
  if (chunk != "VP8L" || packed < 0) return {};
  return {(packed >> 14 & 0x3FFF) + 1, (packed & 0x3FFF) + 1};
}

Extent bmp_extent(Reader& file) {
  if (file.number(14, 4, false) == 12)
    return {file.number(20, 2, false), file.number(18, 2, false)};
  const auto height = static_cast<std::int32_t>(file.number(22, 4, false));
  return {std::abs(std::int64_t{height}), file.number(18, 4, false)};
}

}  // namespace

Extent image_extent(const std::string& path) {
  Reader file{std::ifstream(path, std::ios::binary)};
  if (!file.in) throw Error(path + ": cannot be opened");
  std::array<char, 16> start{};
  file.in.read(start.data(), start.size());
  const std::string_view seen(start.data(), static_cast<std::size_t>(file.in.gcount()));
  Extent extent;
  if (seen.starts_with("\xFF\xD8\xFF")) {
    extent = jpeg_extent(file);
  } else if (seen.starts_with("\x89PNG\r\n\x1A\n")) {
    extent = {file.number(20, 4, true), file.number(16, 4, true)};
  } else if (seen.starts_with("RIFF") && seen.size() == 16 && seen.substr(8, 4) == "WEBP") {
    extent = webp_extent(file, seen.substr(12, 4));
  } else if (seen.starts_with("BM")) {
    extent = bmp_extent(file);
  }
  if (extent.height < 1 || extent.width < 1) {
    throw Error(fmt::format("{}: no size in its header, JPEG, PNG, WebP or BMP wanted", path));
  }
  return extent;
}

}  // namespace vitsnna::engine
