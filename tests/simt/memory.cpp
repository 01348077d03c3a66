// The SIMT layer's device memory: the host's heap, each allocation exactly as long as asked for, so
// that AddressSanitizer sees the first byte past an operand.
#include "kernels/cuda/memory.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "kernels/error.h"
#include "tests/simt/stream.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr std::size_t alignment = 256;  // cudaMalloc's

/// Pinned host memory by where it starts.
struct PinnedMemory {
  std::mutex mutex;
  std::map<const char*, index_t> bytes;

  bool holds(const void* first, index_t count) {
    const std::lock_guard lock(mutex);
    const auto* start = static_cast<const char*>(first);
    auto behind = bytes.upper_bound(start);
    if (behind == bytes.begin()) return false;
    const auto& [from, size] = *--behind;
    return start + count <= from + size;
  }
};
PinnedMemory& pinned() {
  static PinnedMemory memory;
  return memory;
}

/// Calls that have no stream fail while the thread captures one, and spoil what it captures.
void refuse_in_capture(const char* what) {
  if (!captured_by_this_thread) return;
  captured_by_this_thread->spoilt = what;
  throw Error(std::string(what) + " while a graph is being captured");
}
void spoil_capture(const char* what) noexcept {
  if (captured_by_this_thread) captured_by_this_thread->spoilt = what;
}

/// A graph would read or write memory that the host may have given to something else since.
void require_pinned_in_capture(const Queue& queue, const void* host, index_t bytes) {
  const auto* stream = static_cast<const SimtStream*>(queue.stream);
  if (stream && stream->capturing && !pinned().holds(host, bytes)) {
    throw Error("copy of " + std::to_string(bytes) +
                " bytes: pageable host memory while a graph is being captured, pinned wanted");
  }
}

void* allocate_bytes(index_t bytes) {
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

}  // namespace

std::string_view backend_name() { return "simt"; }

void* allocate(index_t bytes) {
  refuse_in_capture("memory was allocated");
  return allocate_bytes(bytes);
}
void deallocate(void* memory, index_t) noexcept {
  spoil_capture("memory was freed");
  std::free(memory);
}

void* allocate_pinned(index_t bytes) {
  refuse_in_capture("pinned memory was allocated");
  void* memory = allocate_bytes(bytes);
  const std::lock_guard lock(pinned().mutex);
  pinned().bytes[static_cast<const char*>(memory)] = bytes;
  return memory;
}
void deallocate_pinned(void* memory, index_t) noexcept {
  spoil_capture("pinned memory was freed");
  {
    const std::lock_guard lock(pinned().mutex);
    pinned().bytes.erase(static_cast<const char*>(memory));
  }
  std::free(memory);
}

void memory_info(index_t& free_bytes, index_t& total_bytes) {
  free_bytes = total_bytes = index_t{1} << 33;  // of a GPU small enough to be shared by tests
}

void copy_to_device(Queue& queue, void* device, const void* host, index_t bytes) {
  if (bytes <= 0) return;
  require_pinned_in_capture(queue, host, bytes);
  submit(queue, [=] { std::memcpy(device, host, static_cast<std::size_t>(bytes)); });
}
void copy_to_host(Queue& queue, void* host, const void* device, index_t bytes) {
  if (bytes <= 0) return;
  require_pinned_in_capture(queue, host, bytes);
  submit(queue, [=] { std::memcpy(host, device, static_cast<std::size_t>(bytes)); });
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
