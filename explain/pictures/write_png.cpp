// PNG encoding by OpenCV in memory, so that nothing half written can reach the disk.
#include "explain/pictures/write_png.h"

#include <fmt/format.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <span>
#include <vector>

#include "engine/io/atomic_file.h"
#include "kernels/error.h"

namespace vitsnna::explain {

std::vector<std::uint8_t> encode_png(const std::string& path, const Image& image) {
  std::vector<std::uint8_t> encoded;
  try {
    const cv::Mat rgb(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3,
                      const_cast<std::uint8_t*>(image.rgb.data()));
    cv::Mat bgr;
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
    if (!cv::imencode(".png", bgr, encoded)) throw Error("libpng refused");
  } catch (const std::exception& error) {
    throw Error(fmt::format("{}: a picture of {}x{} cannot be encoded as PNG", path, image.height,
                            image.width));
  }
  return encoded;
}

void write_png(const std::string& path, const Image& image) {
  const std::vector<std::uint8_t> encoded = encode_png(path, image);
  engine::write_file(path, std::as_bytes(std::span(encoded)));
}

}  // namespace vitsnna::explain
