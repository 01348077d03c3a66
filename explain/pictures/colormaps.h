// The colour tables that maps are drawn with.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitsnna::explain {

using ColormapTable = std::array<std::uint8_t, 3 * 256>;  ///< (256, 3) RGB, low to high

/// jet (OpenCV's COLORMAP_JET, which the paper's figures use), turbo, and the perceptually uniform
/// viridis, inferno, magma, plasma and cividis. Throws Error listing the names.
const ColormapTable& colormap(std::string_view name);

const std::vector<std::string>& colormap_names();

}  // namespace vitsnna::explain
