// Counting and timing of ops.
#include "engine/ledger.h"

#include <algorithm>

namespace vitsnna::engine {

void CountingLedger::begin(const char* op, double flops, double bytes, index_t scratch_bytes) {
  OpCost& cost = ops_[op];
  ++cost.calls;
  cost.flops += flops;
  cost.bytes += bytes;
  flops_ += flops;
  scratch_bytes_ = std::max(scratch_bytes_, scratch_bytes);
  running_ = &cost;
  if (mode_ == Mode::plan) return;
  range_.emplace(op);
  started_ = std::chrono::steady_clock::now();
}

void CountingLedger::end() {
  running_->seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  range_.reset();
}

}  // namespace vitsnna::engine
