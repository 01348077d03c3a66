// A block's dynamic shared memory, cut into arrays. On the device an array is a bare pointer; in
// the host's SIMT layer every access is checked: extent, never-written bytes, races between
// barriers.
#pragma once

#include "kernels/cuda/device.h"

#if defined(__CUDACC__)

namespace vitsnna::kernels::cuda {

/// Array of T in shared memory. Element access only, through []: no pointer to shared memory leaves
/// it but for ptx.h.
template <class T>
class Shared {
 public:
  Shared() = default;
  __device__ __forceinline__ explicit Shared(T* data) : data_(data) {}
  __device__ __forceinline__ T& operator[](int index) const { return data_[index]; }
  __device__ __forceinline__ Shared operator+(int offset) const { return Shared(data_ + offset); }
  /// The same bytes as another type (float as float4; the start must be aligned for it).
  template <class U>
  __device__ __forceinline__ Shared<U> as() const {
    return Shared<U>(reinterpret_cast<U*>(data_));
  }
  /// For ptx.h: the 32-bit shared-window address of the first element.
  __device__ __forceinline__ unsigned address() const {
    return static_cast<unsigned>(__cvta_generic_to_shared(data_));
  }

 private:
  T* data_ = nullptr;
};

/// Hands out the block's dynamic shared memory from its start, in the same order in every thread.
class SharedMemory {
 public:
  __device__ __forceinline__ SharedMemory() {
    extern __shared__ __align__(128) unsigned char vitsnna_shared_bytes[];
    next_ = vitsnna_shared_bytes;
  }
  /// `count` elements, 16-byte aligned (128 for the first).
  template <class T>
  __device__ __forceinline__ Shared<T> take(int count) {
    T* data = reinterpret_cast<T*>(next_);
    next_ += (count * static_cast<int>(sizeof(T)) + 15) / 16 * 16;
    return Shared<T>(data);
  }

 private:
  unsigned char* next_;
};

}  // namespace vitsnna::kernels::cuda

#else
#include "tests/simt/shared.h"
#endif

namespace vitsnna::kernels::cuda {

/// Bytes that SharedMemory::take<T>(count) uses up: launchers add these to the launch's total.
template <class T>
constexpr int shared_bytes(int count) {
  return (count * static_cast<int>(sizeof(T)) + 15) / 16 * 16;
}

}  // namespace vitsnna::kernels::cuda
