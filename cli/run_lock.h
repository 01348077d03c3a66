// One process at a time works on a run.
#pragma once

#include <filesystem>

namespace vitsnna::cli {

class RunLock {
 public:
  RunLock() = default;
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  /// Locks the file, which it leaves as it is, until the process ends in whatever way. Throws Error
  /// where another process has. Does nothing on a file system without locks.
  void take(const std::filesystem::path& file);

 private:
  int descriptor_ = -1;
};

}  // namespace vitsnna::cli
