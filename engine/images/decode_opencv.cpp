// WebP and BMP: headers are read and checked here, because OpenCV takes memory before it looks;
// the pixels are OpenCV's.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string_view>

#include "engine/images/decoders.h"
#include "engine/images/exif.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

/// Little-endian; throws where the file is shorter.
std::uint32_t number(Bytes file, std::size_t offset, std::size_t bytes, std::string_view format) {
  if (offset > file.size() || bytes > file.size() - offset) {
    throw Error(fmt::format("truncated {}: {} bytes, its header wants more", format, file.size()));
  }
  std::uint32_t value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = value << 8 | file[offset + i];
  return value;
}

std::string_view tag(Bytes file, std::size_t offset) {
  return {reinterpret_cast<const char*>(file.data()) + offset, 4};
}

Image decode(Bytes file, std::string_view format, index_t height, index_t width) {
  cv::Mat bgr;
  try {
    const cv::Mat encoded(1, static_cast<int>(file.size()), CV_8UC1,
                          const_cast<std::uint8_t*>(file.data()));
    bgr = cv::imdecode(encoded, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& error) {
    throw Error(fmt::format("damaged {}: {}", format, error.err));
  }
  if (bgr.empty()) throw Error(fmt::format("truncated or damaged {}", format));
  if (bgr.rows != height || bgr.cols != width) {
    throw Error(fmt::format("damaged {}: {}x{} in its header, {}x{} decoded", format, height, width,
                            bgr.rows, bgr.cols));
  }
  Image image{height, width, {}};
  image.rgb.resize(static_cast<std::size_t>(3 * height * width));
  std::uint8_t* out = image.rgb.data();
  for (int y = 0; y < bgr.rows; ++y) {
    const std::uint8_t* row = bgr.ptr(y);
    for (int x = 0; x < bgr.cols; ++x, row += 3, out += 3) {
      out[0] = row[2];
      out[1] = row[1];
      out[2] = row[0];
    }
  }
  return image;
}

}  // namespace

DecodedImage decode_webp(Bytes file) {
  constexpr std::string_view kFormat = "WebP";
  const std::uint64_t riff_end = std::uint64_t{number(file, 4, 4, kFormat)} + 8;
  if (riff_end > file.size()) {
    throw Error(fmt::format("truncated WebP: {} bytes, its header says {}", file.size(), riff_end));
  }
  number(file, 12, 18, kFormat);  // at least a first chunk with the picture's size
  index_t height = 0, width = 0;
  if (tag(file, 12) == "VP8X") {
    constexpr std::uint32_t kAnimated = 2;
    if (number(file, 20, 1, kFormat) & kAnimated) throw Error("an animated WebP");
    width = index_t{number(file, 24, 3, kFormat)} + 1;
    height = index_t{number(file, 27, 3, kFormat)} + 1;
  } else if (tag(file, 12) == "VP8L") {
    const std::uint32_t packed = number(file, 21, 4, kFormat);
    width = index_t{packed & 0x3FFF} + 1;
    height = index_t{packed >> 14 & 0x3FFF} + 1;
  } else if (tag(file, 12) == "VP8 ") {
    width = number(file, 26, 2, kFormat) & 0x3FFF;
    height = number(file, 28, 2, kFormat) & 0x3FFF;
  } else {
    throw Error("damaged WebP: no picture in its first chunk");
  }
  check_header_size(height, width);

  DecodedImage decoded;
  decoded.image = decode(file, kFormat, height, width);
  for (std::size_t at = 12; at + 8 <= file.size();) {
    const std::size_t bytes = number(file, at + 4, 4, kFormat);
    if (bytes > file.size() - at - 8) break;
    if (tag(file, at) == "EXIF")
      decoded.orientation = exif_orientation(file.subspan(at + 8, bytes));
    at += 8 + bytes + bytes % 2;
  }
  return decoded;
}

DecodedImage decode_bmp(Bytes file) {
  constexpr std::string_view kFormat = "BMP";
  const std::uint64_t pixels_at = number(file, 10, 4, kFormat);
  const std::uint32_t header_bytes = number(file, 14, 4, kFormat);
  const bool core = header_bytes == 12;  // OS/2's, with 16-bit sides
  if (!core && header_bytes < 40) {
    throw Error(fmt::format("damaged BMP: a header of {} bytes", header_bytes));
  }
  const auto side = [&](std::size_t index) -> index_t {
    if (core) return number(file, 18 + 2 * index, 2, kFormat);
    return static_cast<std::int32_t>(number(file, 18 + 4 * index, 4, kFormat));
  };
  const index_t width = side(0), height = std::abs(side(1));  // negative: rows from the top
  const std::uint32_t bits = number(file, core ? 24 : 28, 2, kFormat);
  const std::uint32_t compression = core ? 0 : number(file, 30, 4, kFormat);
  check_header_size(height, width);
  constexpr std::uint32_t kPlain = 0, kBitFields = 3;
  if (compression != kPlain && compression != kBitFields) {
    throw Error(fmt::format("a compressed BMP (compression {}), plain pixels wanted", compression));
  }
  constexpr std::uint32_t kDepths[] = {1, 4, 8, 16, 24, 32};
  if (std::find(std::begin(kDepths), std::end(kDepths), bits) == std::end(kDepths)) {
    throw Error(fmt::format("damaged BMP: {} bits a pixel", bits));
  }
  // The header and its palette are there; OpenCV takes a palette of 256 at most.
  const std::uint32_t named_colours = core ? 0 : number(file, 46, 4, kFormat);
  const std::uint32_t colours = bits > 8 ? 0 : named_colours == 0 ? 1u << bits : named_colours;
  const std::uint64_t palette_end = 14 + std::uint64_t{header_bytes} + (core ? 3 : 4) * colours;
  if (colours > 256 || palette_end > file.size()) {
    throw Error(
        fmt::format("damaged BMP: a header of {} bytes and {} colours", header_bytes, colours));
  }
  const std::uint64_t row_bytes = (static_cast<std::uint64_t>(width) * bits + 31) / 32 * 4;
  const std::uint64_t wanted = pixels_at + row_bytes * static_cast<std::uint64_t>(height);
  if (file.size() < wanted) {
    throw Error(fmt::format("truncated BMP: {} bytes, its header says {}", file.size(), wanted));
  }
  return {decode(file, kFormat, height, width), 1};
}

}  // namespace vitsnna::engine
