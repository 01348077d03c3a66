// metrics.jsonl: one JSON object a line, appended as a run goes on, in step order. Step n is the
// n-th: the first is 1, and after it one step is done.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

class MetricsLog {
 public:
  /// Opens the file for a run that goes on when `steps_done` steps are done: lines of later steps,
  /// and what a crash left among them or at the end, are dropped, so that a resumed run writes what
  /// an unbroken one would. Throws Error naming the file and the line where one that is not what
  /// append() writes stands before a line that is kept.
  MetricsLog(std::filesystem::path file, index_t steps_done);

  /// Adds {"step": step, name: value, ..} and hands it to the system. A value that is not finite is
  /// null. Throws Error naming the file where it cannot be written.
  void append(index_t step, const std::map<std::string, double>& values);
  /// To the disk: before a checkpoint says that these steps are done.
  void sync() const;

 private:
  std::filesystem::path file_;
};

}  // namespace vitsnna::train
