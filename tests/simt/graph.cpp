// Graphs of the SIMT layer: the captured work in its order, run again at each launch.
#include "kernels/cuda/graph.h"

#include <string>
#include <utility>

#include "kernels/error.h"
#include "tests/simt/stream.h"

namespace vitsnna::kernels::cuda {
namespace {

class RecordedGraph final : public Graph {
 public:
  explicit RecordedGraph(std::vector<std::function<void()>> work) : work_(std::move(work)) {}
  void run() const {
    for (const auto& work : work_) work();
  }

 private:
  std::vector<std::function<void()>> work_;
};

SimtStream& stream_of(const Queue& queue) {
  if (!queue.stream) throw Error("graph: the queue was not opened");
  return *static_cast<SimtStream*>(queue.stream);
}

}  // namespace

void begin_capture(Queue& queue) {
  if (stream_of(queue).capturing) throw Error("beginning a graph: one is being captured already");
  stream_of(queue).capturing = true;
  captured_by_this_thread = &stream_of(queue);
}

std::unique_ptr<Graph> end_capture(Queue& queue) {
  if (!stream_of(queue).capturing) throw Error("ending a graph: none is being captured");
  stream_of(queue).capturing = false;
  captured_by_this_thread = nullptr;
  auto work = std::exchange(stream_of(queue).captured, {});
  if (const char* spoilt = std::exchange(stream_of(queue).spoilt, nullptr)) {
    throw Error(std::string("ending a graph: ") + spoilt + " while it was captured");
  }
  return std::make_unique<RecordedGraph>(std::move(work));
}

void launch_graph(Queue& queue, const Graph& graph) {
  if (stream_of(queue).capturing) throw Error("launching a graph: one is being captured");
  static_cast<const RecordedGraph&>(graph).run();
}

}  // namespace vitsnna::kernels::cuda
