// Keeping what is put on a queue, to launch all of it at once later: a CUDA graph where the backend
// has them.
#pragma once

#include <memory>

#include "engine/queue.h"

namespace vitsnna::engine {

/// Whether the queue's backend can capture.
bool captures_graphs(const Queue& queue);

/// From construction to finish() the queue keeps work instead of running it; nothing may be
/// synchronised, allocated or copied from memory that will not be there at every replay. Destroyed
/// without finish(), as by an exception, it ends the capture and drops what was kept.
class GraphCapture {
 public:
  explicit GraphCapture(Queue& queue);
  ~GraphCapture();
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  /// Ends the capture. Throws Error when it failed.
  std::unique_ptr<kernels::Graph> finish();

 private:
  Queue& queue_;
  bool open_ = true;
};

/// Puts a captured graph on its queue.
void launch(Queue& queue, const kernels::Graph& graph);

}  // namespace vitsnna::engine
