// A device's command queue as the engine holds it: the backend's table, its scratch memory, its
// thread count, and the ledger that counts or times every op.
#pragma once

#include <memory>
#include <optional>

#include "engine/device.h"
#include "engine/wait_clock.h"
#include "kernels/backend.h"

namespace vitsnna::engine {

using kernels::index_t;

class Queue {
 public:
  /// `num_threads` 0: as many as the process may use.
  /// Throws Error where the device cannot be opened.
  explicit Queue(const Device& device, int num_threads = 0);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  const kernels::Backend& backend() const { return *backend_; }
  const Device& device() const { return device_; }
  int num_threads() const { return raw_.num_threads; }
  index_t scratch_bytes() const { return raw_.scratch_bytes; }

  /// Throws Error unless `device`, which holds `what`, is this queue's: tensors of two devices
  /// never meet in an op.
  void require(const Device& device, const char* what) const;

  /// Grows the scratch memory to at least `bytes`; never shrinks it.
  void reserve_scratch(index_t bytes);

  /// Bytes that the device could still give out; none where the backend leaves that to the system.
  std::optional<index_t> free_bytes() const;

  /// What a kernel is launched on.
  kernels::Queue& raw() { return raw_; }

  void upload(void* device_memory, const void* host, index_t bytes);
  void download(void* host, const void* device_memory, index_t bytes);
  void zero(void* device_memory, index_t bytes);
  void synchronize();
  /// Runs while synchronize() waits; may outlive the queue.
  std::shared_ptr<const WaitClock> wait_clock() const { return wait_clock_; }

 private:
  Device device_;
  const kernels::Backend* backend_ = nullptr;
  kernels::Queue raw_;
  std::shared_ptr<WaitClock> wait_clock_ = std::make_shared<WaitClock>();
};

/// Puts a ledger on a queue for a scope.
class LedgerScope {
 public:
  LedgerScope(Queue& queue, kernels::Ledger* ledger)
      : queue_(queue), previous_(queue.raw().ledger) {
    queue_.raw().ledger = ledger;
  }
  ~LedgerScope() { queue_.raw().ledger = previous_; }
  LedgerScope(const LedgerScope&) = delete;
  LedgerScope& operator=(const LedgerScope&) = delete;

 private:
  Queue& queue_;
  kernels::Ledger* previous_;
};

}  // namespace vitsnna::engine
