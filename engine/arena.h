// One block of device memory from which activations are cut in stack order: nothing is allocated
// after warm-up, and the same code run on a planning arena says how much is wanted.
#pragma once

#include "engine/tensor.h"
#include "kernels/backend.h"

namespace vitsnna::engine {

class Arena {
 public:
  /// A planning arena: hands out addresses that must not be read, and only counts.
  static Arena planning() { return Arena(nullptr, 0); }
  /// `capacity` bytes of the backend's memory. Throws Error when the device has not got them.
  Arena(const kernels::Backend* backend, index_t capacity);
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;

  /// An uninitialised tensor at a 64-byte boundary. Throws Error when the arena is full.
  Tensor allocate(DType dtype, Shape shape);

  /// Everything allocated since mark() is given back by release(mark).
  index_t mark() const { return used_; }
  void release(index_t mark) { used_ = mark; }

  const kernels::Backend* backend() const { return backend_; }  ///< null while planning
  bool is_planning() const { return backend_ == nullptr; }
  index_t used() const { return used_; }
  index_t peak() const { return peak_; }
  index_t capacity() const { return capacity_; }

 private:
  const kernels::Backend* backend_ = nullptr;
  void* memory_ = nullptr;
  index_t capacity_ = 0;
  index_t used_ = 0;
  index_t peak_ = 0;
};

/// Gives back what was allocated in its scope.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  index_t mark_;
};

}  // namespace vitsnna::engine
