// The passes of explanations seen before, as graphs: the first explanation of its kind runs
// launch by launch, the second is captured, and every later one is one launch. Private to explain/.
#pragma once

#include <memory>
#include <vector>

#include "engine/graph_capture.h"
#include "explain/passes.h"

namespace vitsnna::explain {

/// Everything that is fixed in a captured launch: extents, numbers passed by value, addresses.
struct CapturedKey {
  enum class Part : std::uint8_t { whole, forward, after_forward };
  Part part = Part::whole;
  ExplanationShape shape;
  Batching batching;
  index_t labels = 0;
  double noise_level = 0.;
  std::uint64_t seed = 0;
  const void* scratch = nullptr;
  bool operator==(const CapturedKey&) const = default;
};

class CapturedPasses {
 public:
  enum class Way : std::uint8_t {
    eager,     ///< launch by launch
    captured,  ///< as a graph, made now: `record` was called
    replayed,  ///< as a graph made before: `record` was not called
  };

  /// Puts `record`'s work on the queue, directly or as a graph.
  template <class Record>
  Way run(engine::Queue& queue, const CapturedKey& key, const Record& record) {
    Entry* entry = find(key);
    if (!entry) {
      record();
      if (engine::captures_graphs(queue) && !key.shape.given_noise) remember(key);
      return Way::eager;
    }
    const Way way = entry->graph ? Way::replayed : Way::captured;
    if (way == Way::captured) {
      engine::GraphCapture capture(queue);
      record();
      entry->graph = capture.finish();
    }
    engine::launch(queue, *entry->graph);
    return way;
  }
  /// Whether run() with this key will replay (or capture) a graph.
  bool knows(const CapturedKey& key) { return find(key) != nullptr; }
  bool has_graph(const CapturedKey& key) {
    const Entry* entry = find(key);
    return entry && entry->graph;
  }

  /// To be called when the arena's memory moves.
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    CapturedKey key;
    std::unique_ptr<kernels::Graph> graph;  ///< none yet: seen once
  };
  Entry* find(const CapturedKey& key);
  void remember(const CapturedKey& key);
  std::vector<Entry> entries_;
};

}  // namespace vitsnna::explain
