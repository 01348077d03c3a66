// A capture that is always ended.
#include "engine/graph_capture.h"

#include "engine/profiler_range.h"
#include "kernels/error.h"

namespace vitsnna::engine {

bool captures_graphs(const Queue& queue) { return queue.backend().begin_capture != nullptr; }

GraphCapture::GraphCapture(Queue& queue) : queue_(queue) {
  if (!captures_graphs(queue)) {
    throw Error("graph capture: the " + std::string(queue.backend().name) +
                " backend has no graphs");
  }
  queue_.backend().begin_capture(queue_.raw());
}

GraphCapture::~GraphCapture() {
  if (!open_) return;
  try {
    finish();
  } catch (const Error&) {  // the capture had failed, and so has what it was made for
  }
}

std::unique_ptr<kernels::Graph> GraphCapture::finish() {
  open_ = false;
  return queue_.backend().end_capture(queue_.raw());
}

void launch(Queue& queue, const kernels::Graph& graph) {
  const ProfilerRange range("graph");
  queue.backend().launch_graph(queue.raw(), graph);
}

}  // namespace vitsnna::engine
