// Capture of a queue's work as a CUDA graph, and its replay.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace vitsnna::kernels::cuda {

void begin_capture(Queue& queue);
std::unique_ptr<Graph> end_capture(Queue& queue);
void launch_graph(Queue& queue, const Graph& graph);

}  // namespace vitsnna::kernels::cuda
