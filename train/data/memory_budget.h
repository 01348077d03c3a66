// How much may be kept in memory: not more than leaves the machine, or the container, some room.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

/// Bytes that this process could still take: what Linux calls available, or less where a control
/// group of it, of version 1 or 2, has a limit; file caches, which are given up when wanted, count
/// as free. Empty where neither is known. `root` holds proc/ and sys/.
std::optional<index_t> available_memory(const std::filesystem::path& root = "/");

/// Grants bytes until `most` of them are taken, or, with most = 0, until a quarter is left of what
/// was available at first: other processes (ranks on the same machine) take from the same memory,
/// so it is asked again every 64 MiB. Not for several threads at once.
class MemoryBudget {
 public:
  using Available = std::function<std::optional<index_t>()>;

  explicit MemoryBudget(
      index_t most = 0, Available available = [] { return available_memory(); });

  /// Whether `bytes` more may be kept. Once false, false for ever.
  bool take(index_t bytes);

 private:
  index_t most_;
  Available available_;
  index_t least_left_ = 0;
  index_t taken_ = 0, asked_at_ = 0;
  bool exhausted_ = false;
};

}  // namespace vitsnna::train
