// Seconds and operations by stage, read off the queue's ledger. Private to explain/.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "engine/ledger.h"
#include "engine/profiler_range.h"
#include "engine/queue.h"
#include "explain/explainer.h"

namespace vitsnna::explain {

/// Between two calls of enter(), time and operations belong to the stage entered first.
class StageClock {
 public:
  /// With a queue the clock waits for its work at every change of stage; without one (planning, a
  /// capture) seconds are those of the calls alone.
  explicit StageClock(const engine::CountingLedger& ledger, engine::Queue* queue = nullptr)
      : ledger_(ledger), queue_(queue) {}

  void enter(std::string stage) {
    leave();
    stage_ = std::move(stage);
    if (!ledger_.planning()) range_.emplace(stage_.c_str());
    started_ = std::chrono::steady_clock::now();
    flops_ = ledger_.flops();
  }

  void leave() {
    if (stage_.empty()) return;
    if (queue_) queue_->synchronize();
    StageCost& cost = stages_[stage_];
    cost.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    cost.flops += ledger_.flops() - flops_;
    range_.reset();
    stage_.clear();
  }

  const std::map<std::string, StageCost>& stages() const { return stages_; }

 private:
  const engine::CountingLedger& ledger_;
  engine::Queue* queue_;
  std::map<std::string, StageCost> stages_;
  std::string stage_;
  std::chrono::steady_clock::time_point started_;
  double flops_ = 0;
  std::optional<engine::ProfilerRange> range_;  ///< of the stage, for a profiler
};

}  // namespace vitsnna::explain
