// Limits of a launch.
#include <string>

#include "kernels/cuda/launch.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {

unsigned grid_extent(const char* name, index_t count, index_t each) {
  const index_t blocks = ceil_div(count, each);
  constexpr index_t most = 0x7fffffff;
  if (blocks < 0 || blocks > most) {
    throw Error(std::string(name) + ": " + std::to_string(blocks) + " blocks wanted, at most " +
                std::to_string(most) + " possible");
  }
  return static_cast<unsigned>(blocks);
}

void check_grid(const char* name, const dim3& blocks) {
  constexpr unsigned most = 65535;
  if (blocks.y <= most && blocks.z <= most) return;
  throw Error(std::string(name) + ": " + std::to_string(blocks.x) + " x " +
              std::to_string(blocks.y) + " x " + std::to_string(blocks.z) +
              " blocks wanted, at most " + std::to_string(most) + " possible in the last two");
}

}  // namespace vitsnna::kernels::cuda
