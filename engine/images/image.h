// A picture in memory: 8-bit RGB, rows from the top, as the kernels take it.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/types.h"

namespace vitsnna::engine {

using kernels::index_t;

struct Extent {
  index_t height = 0, width = 0;

  index_t area() const { return height * width; }
  bool operator==(const Extent&) const = default;
};

struct Image {
  index_t height = 0, width = 0;
  std::vector<std::uint8_t> rgb;  ///< (height, width, 3), interleaved

  Extent extent() const { return {height, width}; }
};

}  // namespace vitsnna::engine
