// Page-size scaling through OpenCV.
#include "explain/pictures/scale_image.h"

#include <cstddef>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace vitsnna::explain {
namespace {

Image scale(const Image& image, Extent size, int interpolation) {
  const cv::Mat from(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3,
                     const_cast<std::uint8_t*>(image.rgb.data()));
  Image scaled{size.height, size.width, {}};
  scaled.rgb.resize(static_cast<std::size_t>(3 * size.area()));
  cv::Mat to(static_cast<int>(size.height), static_cast<int>(size.width), CV_8UC3,
             scaled.rgb.data());
  cv::resize(from, to, to.size(), 0, 0, interpolation);
  return scaled;
}

}  // namespace

Image scale_image(const Image& image, Extent size) {
  if (size == image.extent()) return image;
  return scale(image, size, size.area() < image.extent().area() ? cv::INTER_AREA : cv::INTER_CUBIC);
}

Image enlarge_image(const Image& image, index_t factor) {
  if (factor == 1) return image;
  return scale(image, {factor * image.height, factor * image.width}, cv::INTER_NEAREST);
}

}  // namespace vitsnna::explain
