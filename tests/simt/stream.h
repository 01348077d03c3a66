// The SIMT layer's stream: work put on a queue runs at once, or is kept while a graph is captured.
#pragma once

#include <functional>
#include <vector>

#include "kernels/queue.h"
#include "tests/simt/launch_record.h"

namespace vitsnna::kernels::cuda {

/// What Queue::stream and Queue::context point to here. A queue that has none runs at once.
struct SimtStream {
  bool capturing = false;
  const char* spoilt = nullptr;  ///< what was done meanwhile that no graph can hold
  std::vector<std::function<void()>> captured;
};

/// The stream that this thread captures; null: none. As on a GPU, the thread itself is then refused
/// what cannot be ordered on a stream.
inline thread_local SimtStream* captured_by_this_thread = nullptr;

/// Every launch, copy, fill and matrix product goes through here. `work` owns all that it reads
/// but device memory, as a launch owns its arguments.
inline void submit(const Queue& queue, std::function<void()> work) {
  if (simt::notes_launches()) return;
  auto* stream = static_cast<SimtStream*>(queue.stream);
  if (stream && stream->capturing) {
    stream->captured.push_back(std::move(work));
  } else {
    work();
  }
}

}  // namespace vitsnna::kernels::cuda
