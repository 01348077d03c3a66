// kernels/cuda/shared.h on the host: the same two classes, every access checked.
#pragma once

#include <string>
#include <type_traits>

#include "tests/simt/device.h"

namespace vitsnna::kernels::cuda {

/// One element as operator[] gives it: reads when converted, writes when assigned to.
template <class T>
class SharedElement {
 public:
  explicit SharedElement(int offset) : offset_(offset) {}
  operator T() const {  // NOLINT: stands for a T
    T value;
    simt::this_block().read_shared<static_cast<int>(sizeof(T))>(offset_, &value);
    return value;
  }
  const SharedElement& operator=(const T& value) const {
    simt::this_block().write_shared<static_cast<int>(sizeof(T))>(offset_, &value);
    return *this;
  }
  SharedElement(const SharedElement&) = default;
  SharedElement& operator=(const SharedElement& other) {
    *this = static_cast<T>(other);
    return *this;
  }
  const SharedElement& operator+=(const T& value) const { return *this = T(*this) + value; }
  const SharedElement& operator-=(const T& value) const { return *this = T(*this) - value; }
  const SharedElement& operator*=(const T& value) const { return *this = T(*this) * value; }
  void operator&() const = delete;

 private:
  int offset_;
};

template <class T>
class Shared {
  static_assert(std::is_trivially_copyable_v<T> && !std::is_const_v<T>);

 public:
  Shared() = default;
  /// `offset` bytes into the block's shared memory, within an array from `first` to `last`.
  Shared(int offset, int first, int last) : offset_(offset), first_(first), last_(last) {}

  SharedElement<T> operator[](int index) const {
    return SharedElement<T>(checked(index, static_cast<int>(sizeof(T))));
  }
  Shared operator+(int offset) const {
    return Shared(offset_ + offset * static_cast<int>(sizeof(T)), first_, last_);
  }
  template <class U>
  Shared<U> as() const {
    if (offset_ % static_cast<int>(alignof(U)) != 0) {
      throw Error("shared memory: array at byte " + std::to_string(offset_) +
                  " taken for elements aligned to " + std::to_string(alignof(U)));
    }
    return Shared<U>(offset_, first_, last_);
  }
  /// For ptx.h: where `bytes` bytes from element `index` on lie, which must be in the array.
  int checked(int index, int bytes) const {
    const int at = offset_ + index * static_cast<int>(sizeof(T));
    if (at < first_ || at + bytes > last_) {
      throw Error("shared memory: bytes " + std::to_string(at - first_) + " to " +
                  std::to_string(at - first_ + bytes - 1) + " of an array of " +
                  std::to_string(last_ - first_) + " (at byte " + std::to_string(first_) + ")");
    }
    return at;
  }

 private:
  int offset_ = 0, first_ = 0, last_ = 0;
};

class SharedMemory {
 public:
  template <class T>
  Shared<T> take(int count) {
    const int first = next_, bytes = count * static_cast<int>(sizeof(T));
    next_ += (bytes + 15) / 16 * 16;
    if (count < 0 || next_ > simt::this_block().shared_bytes()) {
      throw Error("shared memory: an array of " + std::to_string(bytes) + " bytes wanted at byte " +
                  std::to_string(first) + ", the launch asked for " +
                  std::to_string(simt::this_block().shared_bytes()));
    }
    return Shared<T>(first, first, first + bytes);
  }

 private:
  int next_ = 0;
};

}  // namespace vitsnna::kernels::cuda
