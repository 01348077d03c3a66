// Colour tables out of OpenCV: a ramp from 0 to 255 through applyColorMap.
#include "explain/pictures/colormaps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "kernels/error.h"

namespace vitsnna::explain {
namespace {

struct NamedMap {
  const char* name;
  int opencv;
};

constexpr NamedMap kMaps[] = {
    {"jet", cv::COLORMAP_JET},         {"turbo", cv::COLORMAP_TURBO},
    {"viridis", cv::COLORMAP_VIRIDIS}, {"inferno", cv::COLORMAP_INFERNO},
    {"magma", cv::COLORMAP_MAGMA},     {"plasma", cv::COLORMAP_PLASMA},
    {"cividis", cv::COLORMAP_CIVIDIS},
};

ColormapTable table_of(int opencv) {
  cv::Mat ramp(256, 1, CV_8UC1), bgr;
  for (int i = 0; i < 256; ++i) ramp.at<std::uint8_t>(i) = static_cast<std::uint8_t>(i);
  cv::applyColorMap(ramp, bgr, opencv);
  ColormapTable table{};
  for (int i = 0; i < 256; ++i) {
    const auto& entry = bgr.at<cv::Vec3b>(i);
    for (int c = 0; c < 3; ++c) table[static_cast<std::size_t>(3 * i + c)] = entry[2 - c];
  }
  return table;
}

}  // namespace

const ColormapTable& colormap(std::string_view name) {
  static const auto tables = [] {
    std::map<std::string, ColormapTable, std::less<>> all;
    for (const NamedMap& entry : kMaps) all.emplace(entry.name, table_of(entry.opencv));
    return all;
  }();
  const auto found = tables.find(name);
  if (found == tables.end()) {
    throw Error(
        fmt::format("colour map '{}': there are {}", name, fmt::join(colormap_names(), ", ")));
  }
  return found->second;
}

const std::vector<std::string>& colormap_names() {
  static const auto names = [] {
    std::vector<std::string> all;
    for (const NamedMap& entry : kMaps) all.emplace_back(entry.name);
    return all;
  }();
  return names;
}

}  // namespace vitsnna::explain
