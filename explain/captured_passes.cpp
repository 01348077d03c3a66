// A short list of graphs, the oldest dropped first.
#include "explain/captured_passes.h"

#include <algorithm>

namespace vitsnna::explain {

namespace {

/// Picture sizes times label counts that one run is likely to mix.
constexpr std::size_t kMostEntries = 16;

}  // namespace

CapturedPasses::Entry* CapturedPasses::find(const CapturedKey& key) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.key == key; });
  return found == entries_.end() ? nullptr : &*found;
}

void CapturedPasses::remember(const CapturedKey& key) {
  if (entries_.size() == kMostEntries) entries_.erase(entries_.begin());
  entries_.push_back({key, nullptr});
}

}  // namespace vitsnna::explain
