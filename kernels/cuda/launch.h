// How a launcher starts a kernel: launch<kernel>(queue, shape, arguments...). The one place that
// knows the runtime's launch call; the host's SIMT layer has its own.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// Blocks, threads of a block (a multiple of 32, one-dimensional) and dynamic shared memory.
struct LaunchShape {
  dim3 blocks;
  int threads = 128;
  int shared_bytes = 0;
};

constexpr index_t ceil_div(index_t a, index_t b) { return (a + b - 1) / b; }

/// Blocks in x for `count` units of `each`; throws Error above the hardware's 2^31 - 1.
unsigned grid_extent(const char* name, index_t count, index_t each = 1);

/// Throws Error above the hardware's 65535 blocks in y and z. Every launch() asks it.
void check_grid(const char* name, const dim3& blocks);

/// Elements of a strided operand as the kernel's own type.
template <class T>
const T* elements(const ConstMatrix& matrix) {
  return static_cast<const T*>(matrix.data);
}
template <class T>
T* elements(const Matrix& matrix) {
  return static_cast<T*>(matrix.data);
}

}  // namespace vitsnna::kernels::cuda

#if defined(__CUDACC__)
#include "kernels/cuda/launch_device.h"
#else
#include "tests/simt/launch.h"
#endif
