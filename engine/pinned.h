// Host memory that a device copies from at its full speed and without waiting: pinned where the
// backend has it, else plain.
#pragma once

#include <new>

#include "engine/queue.h"

namespace vitsnna::engine {

class PinnedBuffer {
 public:
  explicit PinnedBuffer(const kernels::Backend& backend) : backend_(backend) {}
  ~PinnedBuffer() { release(); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  /// At least `bytes`; what was there before is lost. Throws Error where there is no memory.
  void* at_least(index_t bytes) {
    if (bytes <= bytes_) return data_;
    release();
    data_ = backend_.allocate_pinned ? backend_.allocate_pinned(bytes)
                                     : ::operator new(static_cast<std::size_t>(bytes));
    bytes_ = bytes;
    return data_;
  }

 private:
  void release() noexcept {
    if (!data_) return;
    backend_.allocate_pinned ? backend_.deallocate_pinned(data_, bytes_) : ::operator delete(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

  const kernels::Backend& backend_;
  void* data_ = nullptr;
  index_t bytes_ = 0;
};

}  // namespace vitsnna::engine
