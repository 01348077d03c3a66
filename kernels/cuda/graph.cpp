// CUDA graphs by stream capture.
#include "kernels/cuda/graph.h"

#include <cuda_runtime_api.h>

#include <type_traits>

#include "kernels/cuda/status.h"

namespace vitsnna::kernels::cuda {
namespace {

class ExecutableGraph final : public Graph {
 public:
  explicit ExecutableGraph(cudaGraph_t captured) {
    check(cudaGraphInstantiate(&executable_, captured, 0), "instantiating a graph");
  }
  ~ExecutableGraph() override {
    if (cudaGraphExecDestroy(executable_) != cudaSuccess) (void)cudaGetLastError();
  }
  cudaGraphExec_t get() const { return executable_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const noexcept {
    if (cudaGraphDestroy(graph) != cudaSuccess) (void)cudaGetLastError();
  }
};

cudaStream_t stream_of(const Queue& queue) { return static_cast<cudaStream_t>(queue.stream); }

}  // namespace

void begin_capture(Queue& queue) {
  // Thread-local: other threads may allocate and copy while this one captures.
  check(cudaStreamBeginCapture(stream_of(queue), cudaStreamCaptureModeThreadLocal),
        "beginning a graph");
}

std::unique_ptr<Graph> end_capture(Queue& queue) {
  cudaGraph_t captured = nullptr;
  const cudaError_t status = cudaStreamEndCapture(stream_of(queue), &captured);
  const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph> owner(captured);
  check(status, "ending a graph");
  return std::make_unique<ExecutableGraph>(captured);
}

void launch_graph(Queue& queue, const Graph& graph) {
  const auto& executable = static_cast<const ExecutableGraph&>(graph);
  check(cudaGraphLaunch(executable.get(), stream_of(queue)), "launching a graph");
}

}  // namespace vitsnna::kernels::cuda
