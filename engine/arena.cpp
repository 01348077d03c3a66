// Stack allocation in one block.
#include "engine/arena.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace vitsnna::engine {

namespace {
constexpr index_t kAlignment = 256;  // CUDA's; a multiple of a CPU's cache line
// Planning addresses start here: never null, so that a null check means the same as in a run.
constexpr std::uintptr_t kPlanningBase = kAlignment;
}  // namespace

Arena::Arena(const kernels::Backend* backend, index_t capacity)
    : backend_(backend), capacity_(capacity) {
  if (backend_ && capacity_ > 0) memory_ = backend_->allocate(capacity_);
}

Arena::~Arena() {
  if (memory_) backend_->deallocate(memory_, capacity_);
}

Arena::Arena(Arena&& other) noexcept
    : backend_(other.backend_),
      memory_(std::exchange(other.memory_, nullptr)),
      capacity_(other.capacity_),
      used_(other.used_),
      peak_(other.peak_) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(memory_, other.memory_);
  std::swap(capacity_, other.capacity_);
  std::swap(used_, other.used_);
  std::swap(peak_, other.peak_);
  return *this;
}

Tensor Arena::allocate(DType dtype, Shape shape) {
  const index_t bytes = shape.elements() * kernels::size_of(dtype);
  const index_t end = used_ + (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (backend_ && end > capacity_) {
    throw Error("arena: " + std::to_string(end) + " bytes wanted for tensor " + shape.text() +
                ", " + std::to_string(capacity_) + " planned");
  }
  void* data = backend_
                   ? static_cast<char*>(memory_) + used_
                   : reinterpret_cast<void*>(kPlanningBase + static_cast<std::uintptr_t>(used_));
  used_ = end;
  peak_ = std::max(peak_, used_);
  return {data, dtype, shape};
}

}  // namespace vitsnna::engine
