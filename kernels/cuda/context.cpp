// A queue's stream and context on one GPU.
#include "kernels/cuda/context.h"

#include <atomic>
#include <mutex>
#include <string>

#include "kernels/cuda/context_device.h"
#include "kernels/cuda/product_cache.h"
#include "kernels/cuda/status.h"
#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

/// The device that open queues share.
struct ActiveDevice {
  std::mutex mutex;
  std::atomic<int> index = 0;
  int open_queues = 0;
};

ActiveDevice& active() {
  static ActiveDevice device;
  return device;
}

void join(int device) {
  const std::lock_guard lock(active().mutex);
  if (active().open_queues > 0 && active().index != device) {
    throw Error("device cuda:" + std::to_string(device) + ": this process computes on cuda:" +
                std::to_string(active().index) + " already, one GPU a process wanted");
  }
  active().index = device;
  ++active().open_queues;
}

void leave() noexcept {
  const std::lock_guard lock(active().mutex);
  --active().open_queues;
}

}  // namespace

void bind_device() {
  thread_local int bound = -1;
  const int index = active().index;
  if (bound == index) return;
  check(cudaSetDevice(index), "choosing the GPU");
  bound = index;
}

Context& context_of(const Queue& queue) {
  if (!queue.context) throw Error("cuda: the queue was not opened");
  return *static_cast<Context*>(queue.context);
}

void open(Queue& queue, int device) {
  join(device);
  auto context = std::make_unique<Context>();
  context->device = device;
  try {
    bind_device();
    check(cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking), "opening a stream");
  } catch (...) {
    leave();
    throw;
  }
  queue.stream = context->stream;
  queue.context = context.release();
}

void close(Queue& queue) noexcept {
  std::unique_ptr<Context> context(static_cast<Context*>(queue.context));
  queue.context = queue.stream = nullptr;
  if (!context) return;
  // A stream of a lost GPU cannot be destroyed, and there is nobody left to tell.
  if (cudaStreamDestroy(context->stream) != cudaSuccess) (void)cudaGetLastError();
  context.reset();
  leave();
}

}  // namespace vitsnna::kernels::cuda
