// Memory and copies through the CUDA runtime.
#include "kernels/cuda/memory.h"

#include <cuda_runtime_api.h>

#include <string>

#include "kernels/cuda/context_device.h"
#include "kernels/cuda/status.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

std::size_t size_or_throw(const char* what, index_t bytes) {
  if (bytes < 0) throw Error(std::string(what) + ": " + std::to_string(bytes) + " bytes wanted");
  return static_cast<std::size_t>(bytes > 0 ? bytes : 1);
}

cudaStream_t stream_of(const Queue& queue) { return static_cast<cudaStream_t>(queue.stream); }

void copy(Queue& queue, void* destination, const void* source, index_t bytes, cudaMemcpyKind kind,
          const char* what) {
  if (bytes <= 0) return;
  bind_device();
  check(
      cudaMemcpyAsync(destination, source, static_cast<std::size_t>(bytes), kind, stream_of(queue)),
      what);
}

/// A failed cudaFree means a failure that an earlier call has told, or will tell at the next wait.
void forget(cudaError_t status) noexcept {
  if (status != cudaSuccess) (void)cudaGetLastError();
}

}  // namespace

std::string_view backend_name() { return "cuda"; }

void memory_info(index_t& free_bytes, index_t& total_bytes) {
  bind_device();
  std::size_t free_now = 0, total = 0;
  check(cudaMemGetInfo(&free_now, &total), "asking for the GPU's free memory");
  free_bytes = static_cast<index_t>(free_now);
  total_bytes = static_cast<index_t>(total);
}

void* allocate(index_t bytes) {
  const std::size_t size = size_or_throw("GPU memory", bytes);
  bind_device();
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, size);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    index_t free_bytes = 0, total_bytes = 0;
    memory_info(free_bytes, total_bytes);
    throw OutOfMemory("GPU memory: " + std::to_string(bytes) + " bytes wanted, " +
                      std::to_string(free_bytes) + " free of " + std::to_string(total_bytes));
  }
  check(status, "allocating GPU memory");
  return memory;
}

void deallocate(void* memory, index_t) noexcept { forget(cudaFree(memory)); }

void* allocate_pinned(index_t bytes) {
  const std::size_t size = size_or_throw("pinned host memory", bytes);
  bind_device();
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, size, cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    throw OutOfMemory("pinned host memory: " + std::to_string(bytes) +
                      " bytes wanted, not available");
  }
  check(status, "allocating pinned host memory");
  return memory;
}

void deallocate_pinned(void* memory, index_t) noexcept { forget(cudaFreeHost(memory)); }

void copy_to_device(Queue& queue, void* device, const void* host, index_t bytes) {
  copy(queue, device, host, bytes, cudaMemcpyHostToDevice, "copying to the GPU");
}

void copy_to_host(Queue& queue, void* host, const void* device, index_t bytes) {
  copy(queue, host, device, bytes, cudaMemcpyDeviceToHost, "copying from the GPU");
}

void fill_zero(Queue& queue, void* device, index_t bytes) {
  if (bytes <= 0) return;
  bind_device();
  check(cudaMemsetAsync(device, 0, static_cast<std::size_t>(bytes), stream_of(queue)),
        "clearing GPU memory");
}

void synchronize(Queue& queue) {
  check(cudaStreamSynchronize(stream_of(queue)), "waiting for the GPU");
}

}  // namespace vitsnna::kernels::cuda
