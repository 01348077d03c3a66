// Ledgers: one that plans (counts without running) and one that measures (counts and times).
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "engine/profiler_range.h"
#include "kernels/queue.h"

namespace vitsnna::engine {

using kernels::index_t;

struct OpCost {
  index_t calls = 0;
  double flops = 0;
  double bytes = 0;
  double seconds = 0;  ///< 0 in a plan
};

class CountingLedger : public kernels::Ledger {
 public:
  enum class Mode { plan, measure };
  explicit CountingLedger(Mode mode) : mode_(mode) {}

  bool planning() const override { return mode_ == Mode::plan; }
  void begin(const char* op, double flops, double bytes, index_t scratch_bytes) override;
  void end() override;

  double flops() const { return flops_; }
  index_t scratch_bytes() const { return scratch_bytes_; }  ///< the most any op wanted
  const std::map<std::string, OpCost>& ops() const { return ops_; }

 private:
  Mode mode_;
  double flops_ = 0;
  index_t scratch_bytes_ = 0;
  std::map<std::string, OpCost> ops_;
  OpCost* running_ = nullptr;
  std::optional<ProfilerRange> range_;  ///< of the op that is running, when measuring
  std::chrono::steady_clock::time_point started_;
};

}  // namespace vitsnna::engine
