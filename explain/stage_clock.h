// Seconds and operations by stage, read off the queue's ledger. Private to explain/.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "engine/ledger.h"
#include "explain/explainer.h"

namespace vitsnna::explain {

/// Between two calls of enter(), time and operations belong to the stage entered first.
class StageClock {
 public:
  explicit StageClock(const engine::CountingLedger& ledger) : ledger_(ledger) {}

  void enter(std::string stage) {
    leave();
    stage_ = std::move(stage);
    started_ = std::chrono::steady_clock::now();
    flops_ = ledger_.flops();
  }

  void leave() {
    if (stage_.empty()) return;
    StageCost& cost = stages_[stage_];
    cost.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    cost.flops += ledger_.flops() - flops_;
    stage_.clear();
  }

  const std::map<std::string, StageCost>& stages() const { return stages_; }

 private:
  const engine::CountingLedger& ledger_;
  std::map<std::string, StageCost> stages_;
  std::string stage_;
  std::chrono::steady_clock::time_point started_;
  double flops_ = 0;
};

}  // namespace vitsnna::explain
