// The blocks of a launch, dealt to OS threads.
#include <exception>
#include <string>

#include "kernels/error.h"
#include "tests/simt/block.h"

namespace vitsnna::simt {
namespace {

// Of sm_80, the smallest architecture that the project is compiled for.
constexpr int most_shared_bytes = 163 * 1024;

void check(const Launch& launch) {
  const std::string name = std::string("kernel ") + launch.name + ": ";
  if (launch.threads < 32 || launch.threads > 1024 || launch.threads % 32 != 0) {
    throw Error(name + std::to_string(launch.threads) +
                " threads in a block, a multiple of 32 up to 1024 wanted");
  }
  if (launch.shared_bytes < 0 || launch.shared_bytes > most_shared_bytes) {
    throw Error(name + std::to_string(launch.shared_bytes) + " bytes of shared memory, at most " +
                std::to_string(most_shared_bytes) + " possible");
  }
}

Block& block_of_this_os_thread() {
  static thread_local Block block;
  return block;
}

}  // namespace

void run_launch(const Launch& launch) {
  check(launch);
  const LaunchOrder order = next_launch_order();
  const auto columns = static_cast<std::int64_t>(launch.blocks.x);
  const std::int64_t rows = launch.blocks.y;
  const std::int64_t blocks = columns * rows * launch.blocks.z;
  std::exception_ptr error;
  std::int64_t failed = blocks;  // the first block that failed; those after it need not run
#pragma omp parallel for schedule(dynamic, 1) if (blocks > 1)
  for (std::int64_t k = 0; k < blocks; ++k) {
    std::int64_t known = 0;
#pragma omp atomic read
    known = failed;
    if (k > known) continue;
    try {
      const Extent index{static_cast<unsigned>(k % columns),
                         static_cast<unsigned>(k / columns % rows),
                         static_cast<unsigned>(k / columns / rows)};
      block_of_this_os_thread().run(launch, index, order);
    } catch (...) {
#pragma omp critical(vitsnna_simt_error)
      if (k < failed) {
#pragma omp atomic write
        failed = k;
        error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace vitsnna::simt
