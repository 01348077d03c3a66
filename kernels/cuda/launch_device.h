// launch() on a GPU. Included by launch.h.
#pragma once

#include "kernels/cuda/status.h"

namespace vitsnna::kernels::cuda {

/// Queues the kernel on the queue's stream and checks the launch; `name` is what an error names.
template <auto kernel, class... Arguments>
void launch(const char* name, Queue& queue, const LaunchShape& shape, Arguments... arguments) {
  if (shape.blocks.x == 0 || shape.blocks.y == 0 || shape.blocks.z == 0) return;
  check_grid(name, shape.blocks);
  if (shape.shared_bytes > 48 * 1024) {  // more than the default has to be asked for
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               shape.shared_bytes),
          name);
  }
  kernel<<<shape.blocks, dim3(static_cast<unsigned>(shape.threads)),
           static_cast<std::size_t>(shape.shared_bytes), static_cast<cudaStream_t>(queue.stream)>>>(
      arguments...);
  check(cudaGetLastError(), name);
}

}  // namespace vitsnna::kernels::cuda
