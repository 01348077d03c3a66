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

}  // namespace vitsnna::kernels::cuda
