// A fiber: a stack of its own that is resumed from an OS thread and gives it back when it waits.
// AddressSanitizer is told of every switch.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace vitsnna::simt {

/// Boost.Context's bare switch: the fibers here never end (they wait for the next block's work), so
/// that nothing of its owning layer is wanted.
class Fiber {
 public:
  /// `entry(argument)` begins at the first resume() and may never return.
  Fiber(void (*entry)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From the OS thread: runs the fiber until it suspends.
  void resume();
  /// From the fiber: back to whoever resumed it.
  void suspend();

 private:
  static void trampoline(boost::context::detail::transfer_t transfer);

  void (*entry_)(void*);
  void* argument_;
  void* mapping_;  ///< guard page, then the stack
  boost::context::detail::fcontext_t context_;
  boost::context::detail::fcontext_t caller_ = nullptr;
  // AddressSanitizer's view of both stacks.
  void* fake_stack_ = nullptr;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_size_ = 0;
};

}  // namespace vitsnna::simt
