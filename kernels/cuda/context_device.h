// What a CUDA queue keeps between launches. For the files that call the CUDA runtime.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

class ProductCache;

struct Context {
  int device = 0;
  cudaStream_t stream = nullptr;
  std::unique_ptr<ProductCache> products;  ///< from the first product on, which no capture records
};

/// The queue's context; an Error where the queue was not opened.
Context& context_of(const Queue& queue);

/// Makes the device of the open queues the calling thread's. Memory and copies do so: a thread that
/// did not open a queue may launch on it what it has allocated or copied for.
void bind_device();

}  // namespace vitsnna::kernels::cuda
