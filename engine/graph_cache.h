// Work seen before, as graphs: the first of its kind runs launch by launch, the second is captured,
// and every later one is one launch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/graph_capture.h"

namespace vitsnna::engine {

/// A short list of graphs, the oldest dropped first. `Key` holds everything that is fixed in a
/// captured launch: extents, numbers passed by value, addresses.
template <class Key>
class GraphCache {
 public:
  enum class Way : std::uint8_t {
    eager,     ///< launch by launch
    captured,  ///< as a graph, made now: `record` was called
    replayed,  ///< as a graph made before: `record` was not called
  };

  /// Puts `record`'s work on the queue, directly or as a graph; always directly where it is not
  /// `repeatable`: what reads host memory, waits for it, or tells a ledger of its ops.
  template <class Record>
  Way run(Queue& queue, const Key& key, const Record& record, bool repeatable = true) {
    Entry* entry = repeatable ? find(key) : nullptr;
    if (!entry) {
      record();
      if (repeatable && captures_graphs(queue)) remember(key);
      return Way::eager;
    }
    const Way way = entry->graph ? Way::replayed : Way::captured;
    if (way == Way::captured) {
      GraphCapture capture(queue);
      record();
      entry->graph = capture.finish();
    }
    launch(queue, *entry->graph);
    return way;
  }
  /// Whether run() with this key will replay (or capture) a graph.
  bool knows(const Key& key) { return find(key) != nullptr; }
  bool has_graph(const Key& key) {
    const Entry* entry = find(key);
    return entry && entry->graph;
  }

  /// To be called when the memory that is captured moves.
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    Key key;
    std::unique_ptr<kernels::Graph> graph;  ///< none yet: seen once
  };
  /// As many kinds of work as one run is likely to mix.
  static constexpr std::size_t kMostEntries = 16;

  Entry* find(const Key& key) {
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.key == key; });
    return found == entries_.end() ? nullptr : &*found;
  }
  void remember(const Key& key) {
    if (entries_.size() == kMostEntries) entries_.erase(entries_.begin());
    entries_.push_back({key, nullptr});
  }
  std::vector<Entry> entries_;
};

}  // namespace vitsnna::engine
