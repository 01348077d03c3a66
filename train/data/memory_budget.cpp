// /proc/meminfo and the files of control groups.
#include "train/data/memory_budget.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

constexpr index_t kStep = index_t{64} << 20;

/// The number behind `name` in a file of "name number" lines.
std::optional<index_t> number_behind(const fs::path& file, std::string_view name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    try {
      return std::stoll(line.substr(name.size()));
    } catch (const std::exception&) {
      return {};
    }
  }
  return {};
}

/// Empty where there is no such file, or no limit in it ("max").
std::optional<index_t> number_in(const fs::path& file) { return number_behind(file, ""); }

/// What a control group leaves.
std::optional<index_t> room_in(const fs::path& group) {
  struct Names {
    const char *limit, *usage, *active, *inactive;
  };
  for (const Names& names :
       {Names{"memory.max", "memory.current", "active_file ", "inactive_file "},
        Names{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file ",
              "total_inactive_file "}}) {
    const auto limit = number_in(group / names.limit), usage = number_in(group / names.usage);
    if (!limit || !usage) continue;
    const index_t files = number_behind(group / "memory.stat", names.active).value_or(0) +
                          number_behind(group / "memory.stat", names.inactive).value_or(0);
    return std::max<index_t>(*limit - *usage + files, 0);
  }
  return {};
}

}  // namespace

std::optional<index_t> available_memory(const fs::path& root) {
  std::optional<index_t> least;
  const auto limit_to = [&](std::optional<index_t> bytes) {
    if (bytes) least = std::min(*bytes, least.value_or(*bytes));
  };
  if (const auto kilobytes = number_behind(root / "proc/meminfo", "MemAvailable:")) {
    limit_to(*kilobytes * 1024);
  }
  // Lines "hierarchy:controllers:/path"; version 2 names no controllers. The limits of every group
  // above hold too. In a container the path may lie outside what is mounted: its parents remain.
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool first_version = controllers == "memory";
    if (!first_version && !controllers.empty()) continue;
    const fs::path mounted = root / (first_version ? "sys/fs/cgroup/memory" : "sys/fs/cgroup");
    for (fs::path group = line.substr(second + 1);; group = group.parent_path()) {
      limit_to(room_in(mounted / group.relative_path()));
      if (!group.has_relative_path()) break;
    }
  }
  return least;
}

MemoryBudget::MemoryBudget(index_t most, Available available)
    : most_(most), available_(std::move(available)) {
  if (most_ == 0) least_left_ = available_().value_or(0) / 4;
}

bool MemoryBudget::take(index_t bytes) {
  if (exhausted_) return false;
  if (most_ > 0) {
    exhausted_ = taken_ + bytes > most_;
  } else if (taken_ + bytes >= asked_at_) {
    exhausted_ = available_().value_or(least_left_) < least_left_;
    asked_at_ = taken_ + bytes + kStep;
  }
  if (!exhausted_) taken_ += bytes;
  return !exhausted_;
}

}  // namespace vitsnna::train
