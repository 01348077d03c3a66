// Device memory, pinned host memory, and copies on a queue's stream. memory.cpp is the CUDA
// runtime's; the host's SIMT layer has its own.
#pragma once

#include <string_view>

#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// What computes: "cuda" or, in tests, "simt".
std::string_view backend_name();

/// 256-byte aligned, on the device of the open queues. Out of memory is an Error that names the
/// bytes wanted, the bytes free and all there are.
void* allocate(index_t bytes);
void deallocate(void* memory, index_t bytes) noexcept;
void* allocate_pinned(index_t bytes);
void deallocate_pinned(void* memory, index_t bytes) noexcept;
void memory_info(index_t& free_bytes, index_t& total_bytes);

void copy_to_device(Queue& queue, void* device, const void* host, index_t bytes);
void copy_to_host(Queue& queue, void* host, const void* device, index_t bytes);
void fill_zero(Queue& queue, void* device, index_t bytes);
/// Waits for everything on the queue; what failed there since the last wait is thrown here.
void synchronize(Queue& queue);

}  // namespace vitsnna::kernels::cuda
