// Scratch memory and host copies of a queue.
#include "engine/queue.h"

#include <omp.h>

#include <string>

#include "kernels/error.h"

namespace vitsnna::engine {

Queue::Queue(const Device& device, int num_threads) : device_(device) {
  if (num_threads < 0) {
    throw Error("threads: " + std::to_string(num_threads) + " found, 0 or more wanted");
  }
  backend_ = device.backend;
  raw_.num_threads = num_threads > 0 ? num_threads : omp_get_max_threads();
  if (backend_->open) backend_->open(raw_, device.index);
}

Queue::~Queue() {
  if (raw_.scratch) backend_->deallocate(raw_.scratch, raw_.scratch_bytes);
  if (backend_->close) backend_->close(raw_);
}

void Queue::require(const Device& device, const char* what) const {
  if (device == device_) return;
  throw Error(std::string(what) + ": is on " + device.name() + ", the queue on " + device_.name() +
              "; one device wanted");
}

void Queue::reserve_scratch(index_t bytes) {
  if (bytes <= raw_.scratch_bytes) return;
  synchronize();
  if (raw_.scratch) backend_->deallocate(raw_.scratch, raw_.scratch_bytes);
  raw_.scratch = nullptr;
  raw_.scratch_bytes = 0;
  raw_.scratch = backend_->allocate(bytes);
  raw_.scratch_bytes = bytes;
}

std::optional<index_t> Queue::free_bytes() const {
  if (!backend_->memory_info) return std::nullopt;
  index_t free_now = 0, total = 0;
  backend_->memory_info(free_now, total);
  return free_now;
}

void Queue::upload(void* device_memory, const void* host, index_t bytes) {
  if (raw_.ledger && raw_.ledger->planning()) return;
  const WaitClock::Scope waiting(*wait_clock_);  // a copy of memory that is not pinned waits
  backend_->copy_to_device(raw_, device_memory, host, bytes);
}

void Queue::download(void* host, const void* device_memory, index_t bytes) {
  if (raw_.ledger && raw_.ledger->planning()) return;
  const WaitClock::Scope waiting(*wait_clock_);
  backend_->copy_to_host(raw_, host, device_memory, bytes);
}

void Queue::zero(void* device_memory, index_t bytes) {
  if (raw_.ledger && raw_.ledger->planning()) return;
  backend_->fill_zero(raw_, device_memory, bytes);
}

void Queue::synchronize() {
  if (raw_.ledger && raw_.ledger->planning()) return;
  const WaitClock::Scope waiting(*wait_clock_);
  backend_->synchronize(raw_);
}

}  // namespace vitsnna::engine
