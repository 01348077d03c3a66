// What a kernel is launched on: a stream, its scratch memory, a thread count, and an optional
// ledger that counts, times or replaces the launch.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// Sees every op launch that goes through a Queue. `planning()` true means that the op is counted
/// but not run: its pointers are never read, so a whole explanation can be sized for nothing.
class Ledger {
 public:
  virtual ~Ledger() = default;
  virtual bool planning() const = 0;
  /// Before an op: floating-point operations, bytes of operands moved at least once, and the
  /// scratch bytes that it needs.
  virtual void begin(const char* op, double flops, double bytes, index_t scratch_bytes) = 0;
  /// After the op has run (not called while planning).
  virtual void end() = 0;
};

/// Owned by engine::Queue. Kernels allocate nothing: temporary memory is `scratch`.
struct Queue {
  void* stream = nullptr;     ///< cudaStream_t of a CUDA queue; unused on the CPU
  void* context = nullptr;    ///< what the backend's open() made for this queue; its alone
  void* scratch = nullptr;    ///< 64-byte aligned, free for the op that is running
  index_t scratch_bytes = 0;  ///< size of `scratch`
  int num_threads = 1;        ///< OpenMP team size of CPU kernels, at least 1
  Ledger* ledger = nullptr;   ///< null: just run
};

}  // namespace vitsnna::kernels
