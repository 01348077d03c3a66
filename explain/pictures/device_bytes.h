// Device memory for one call of one kernel, given back when the call is over.
#pragma once

#include <algorithm>

#include "kernels/backend.h"

namespace vitsnna::explain {

class DeviceBytes {
 public:
  DeviceBytes(const kernels::Backend& backend, kernels::index_t bytes)
      : backend_(backend), bytes_(bytes), data_(bytes > 0 ? backend.allocate(bytes) : nullptr) {}
  ~DeviceBytes() {
    if (data_) backend_.deallocate(data_, bytes_);
  }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  kernels::index_t bytes() const { return bytes_; }

 private:
  const kernels::Backend& backend_;
  kernels::index_t bytes_;
  void* data_;
};

/// Runs `op` on the queue's stream with scratch of its own, so that a queue prepared for a model
/// need not also be prepared for pictures of any size.
template <class Args>
void run_with_scratch(const kernels::Op<Args>& op, const Args& args,
                      const kernels::Backend& backend, const kernels::Queue& queue) {
  const DeviceBytes scratch(backend, op.scratch_for(queue, args));
  kernels::Queue own = queue;
  own.scratch = scratch.as<void>();
  own.scratch_bytes = scratch.bytes();
  op(own, args);
  backend.synchronize(own);
}

}  // namespace vitsnna::explain
