// Memory of the loader that grows to what the largest batch has wanted and is used again.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/backend.h"

namespace vitsnna::train {

/// Grows by half again, so that pictures of many sizes settle soon. What it held is lost then.
template <bool host>
class ReusedMemory {
 public:
  using index_t = kernels::index_t;

  explicit ReusedMemory(const kernels::Backend& backend) : backend_(&backend) {}
  ~ReusedMemory() { release(); }
  ReusedMemory(ReusedMemory&& other) noexcept
      : backend_(other.backend_),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  ReusedMemory(const ReusedMemory&) = delete;
  ReusedMemory& operator=(const ReusedMemory&) = delete;

  void reserve(index_t bytes) {
    if (bytes <= bytes_) return;
    const index_t wanted = std::max(bytes, bytes_ + bytes_ / 2);
    release();
    data_ = pinned() ? backend_->allocate_pinned(wanted) : backend_->allocate(wanted);
    bytes_ = wanted;
  }
  std::uint8_t* data() const { return static_cast<std::uint8_t*>(data_); }

 private:
  /// Where the backend has no pinned memory, its memory is the host's.
  bool pinned() const { return host && backend_->allocate_pinned != nullptr; }
  void release() {
    if (data_)
      pinned() ? backend_->deallocate_pinned(data_, bytes_) : backend_->deallocate(data_, bytes_);
    data_ = nullptr;
    bytes_ = 0;
  }

  const kernels::Backend* backend_;
  void* data_ = nullptr;
  index_t bytes_ = 0;
};

using DeviceMemory = ReusedMemory<false>;
using HostMemory = ReusedMemory<true>;

}  // namespace vitsnna::train
