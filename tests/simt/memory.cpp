// The SIMT layer's device memory: the host's heap, each allocation exactly as long as asked for, so
// that AddressSanitizer sees the first byte past an operand.
#include "kernels/cuda/memory.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/error.h"
#include "tests/simt/stream.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr std::size_t alignment = 256;  // cudaMalloc's

}  // namespace

std::string_view backend_name() { return "simt"; }

void* allocate(index_t bytes) {
  if (bytes < 0) throw Error("memory: " + std::to_string(bytes) + " bytes wanted");
  void* memory = nullptr;
  const auto size = static_cast<std::size_t>(bytes > 0 ? bytes : 1);
  // Not aligned_alloc: its size has to be a multiple of the alignment, which would hide overruns.
  if (posix_memalign(&memory, alignment, size) != 0) {
    throw OutOfMemory("memory: " + std::to_string(bytes) + " bytes wanted, not available");
  }
  std::memset(memory, 0xff, size);  // NaN: fresh memory holds nothing that may be used
  return memory;
}
void deallocate(void* memory, index_t) noexcept { std::free(memory); }
void* allocate_pinned(index_t bytes) { return allocate(bytes); }
void deallocate_pinned(void* memory, index_t bytes) noexcept { deallocate(memory, bytes); }

void memory_info(index_t& free_bytes, index_t& total_bytes) {
  free_bytes = total_bytes = index_t{1} << 33;  // of a GPU small enough to be shared by tests
}

void copy_to_device(Queue& queue, void* device, const void* host, index_t bytes) {
  if (bytes <= 0) return;
  submit(queue, [=] { std::memcpy(device, host, static_cast<std::size_t>(bytes)); });
}
void copy_to_host(Queue& queue, void* host, const void* device, index_t bytes) {
  copy_to_device(queue, host, device, bytes);
}
void fill_zero(Queue& queue, void* device, index_t bytes) {
  if (bytes <= 0) return;
  submit(queue, [=] { std::memset(device, 0, static_cast<std::size_t>(bytes)); });
}
void synchronize(Queue& queue) {
  const auto* stream = static_cast<const SimtStream*>(queue.stream);
  if (stream && stream->capturing) throw Error("waiting for the GPU: a graph is being captured");
}

}  // namespace vitsnna::kernels::cuda
