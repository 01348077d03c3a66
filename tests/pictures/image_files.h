// Image files made by the tests themselves: encoded, then cut, patched, or given an EXIF segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "explain/image.h"

namespace vitsnna::test {

/// A smooth picture whose pixels all differ: red grows downwards, green to the right.
inline explain::Image gradient_image(explain::index_t height, explain::index_t width) {
  explain::Image image{height, width, {}};
  for (explain::index_t y = 0; y < height; ++y) {
    for (explain::index_t x = 0; x < width; ++x) {
      image.rgb.push_back(static_cast<std::uint8_t>(y * 255 / height));
      image.rgb.push_back(static_cast<std::uint8_t>(x * 255 / width));
      image.rgb.push_back(static_cast<std::uint8_t>((x + y) % 256));
    }
  }
  return image;
}

inline std::string encode(const std::string& extension, const cv::Mat& bgr,
                          const std::vector<int>& options = {}) {
  std::vector<std::uint8_t> bytes;
  if (!cv::imencode(extension, bgr, bytes, options)) return {};
  return {bytes.begin(), bytes.end()};
}

inline std::string encode(const std::string& extension, const explain::Image& image,
                          const std::vector<int>& options = {}) {
  cv::Mat bgr(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3);
  for (int y = 0; y < bgr.rows; ++y) {
    for (int x = 0; x < bgr.cols; ++x) {
      const std::uint8_t* pixel = image.rgb.data() + 3 * (y * image.width + x);
      bgr.at<cv::Vec3b>(y, x) = cv::Vec3b(pixel[2], pixel[1], pixel[0]);
    }
  }
  return encode(extension, bgr, options);
}

/// `bytes` of a number, most significant first.
inline std::string big_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    text += static_cast<char>(value >> shift);
  return text;
}

/// PNG's checksum (CRC-32, reflected polynomial 0xEDB88320).
inline std::uint32_t png_checksum(const std::string& bytes) {
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) {
    crc ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<std::uint32_t>(data.size()), 4) + type + data +
         big_endian(png_checksum(type + data), 4);
}

/// A TIFF directory with nothing but the orientation.
inline std::string exif_block(int orientation) {
  return std::string("MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01", 18) +
         big_endian(static_cast<std::uint32_t>(orientation), 2) + std::string(6, '\0');
}

/// The same, least significant byte first.
inline std::string exif_block_intel(int orientation) {
  return std::string("II\x2A\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) +
         std::string(1, static_cast<char>(orientation)) + std::string(7, '\0');
}

/// Puts an APP1 segment behind the start-of-image marker.
inline std::string with_exif(const std::string& jpeg, const std::string& block) {
  const std::string data = std::string("Exif\0\0", 6) + block;
  return jpeg.substr(0, 2) + "\xFF\xE1" +
         big_endian(static_cast<std::uint32_t>(data.size() + 2), 2) + data + jpeg.substr(2);
}

/// Puts an eXIf chunk behind IHDR, which is 8 + 25 bytes from the start.
inline std::string with_png_exif(const std::string& png, const std::string& block) {
  return png.substr(0, 33) + png_chunk("eXIf", block) + png.substr(33);
}

inline std::string little_endian(std::uint32_t value, int bytes) {
  const std::string text = big_endian(value, bytes);
  return {text.rbegin(), text.rend()};
}

/// The same picture in the extended format (VP8X), an EXIF chunk behind it.
inline std::string with_webp_exif(const std::string& webp, const std::string& block,
                                  std::uint32_t height, std::uint32_t width) {
  const std::string chunks = "VP8X" + little_endian(10, 4) + little_endian(8, 4) +
                             little_endian(width - 1, 3) + little_endian(height - 1, 3) +
                             webp.substr(12) + "EXIF" +
                             little_endian(static_cast<std::uint32_t>(block.size()), 4) + block +
                             std::string(block.size() % 2, '\0');
  return "RIFF" + little_endian(static_cast<std::uint32_t>(chunks.size() + 4), 4) + "WEBP" + chunks;
}

/// Another size in the header, checksum and all.
inline std::string png_claiming(const std::string& png, std::uint32_t height, std::uint32_t width) {
  const std::string header = big_endian(width, 4) + big_endian(height, 4) + png.substr(24, 5);
  return png.substr(0, 8) + png_chunk("IHDR", header) + png.substr(33);
}

/// Another size in the frame header (marker FF C0, or FF C2 of a progressive file).
inline std::string jpeg_claiming(std::string jpeg, std::uint32_t height, std::uint32_t width) {
  std::size_t frame = jpeg.find("\xFF\xC0");
  if (frame == std::string::npos) frame = jpeg.find("\xFF\xC2");
  jpeg.replace(frame + 5, 4, big_endian(height, 2) + big_endian(width, 2));
  return jpeg;
}

}  // namespace vitsnna::test
