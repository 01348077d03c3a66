// Opening and closing a queue of the SIMT layer.
#include "kernels/cuda/context.h"

#include <string>

#include "kernels/error.h"
#include "tests/simt/stream.h"

namespace vitsnna::kernels::cuda {

void open(Queue& queue, int device) {
  if (device != 0) throw Error("device simt:" + std::to_string(device) + ": not there, 0 wanted");
  queue.stream = queue.context = new SimtStream;
}

void close(Queue& queue) noexcept {
  delete static_cast<SimtStream*>(queue.stream);
  queue.stream = queue.context = nullptr;
}

}  // namespace vitsnna::kernels::cuda
