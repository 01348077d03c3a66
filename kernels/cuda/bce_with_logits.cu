// Binary cross-entropy of a few numbers an image: one block, so that the sum has one order.
#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops.h"

namespace vitsnna::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// ln(1 + e^x), without overflow.
__device__ __forceinline__ float softplus(float x) {
  return fmaxf(x, 0.f) + logf(1.f + expf(-fabsf(x)));
}

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

__global__ void __launch_bounds__(kThreads) bce_with_logits_kernel(BceWithLogits a) {
  SharedMemory memory;
  const Shared<float> partial = memory.take<float>(kThreads / kWarpSize);
  const index_t count = a.items * a.classes;
  const float weight = 1.f / static_cast<float>(a.global_items * a.classes);
  float loss = 0.f;
  for (index_t i = threadIdx.x; i < count; i += kThreads) {
    const float x = a.logits[i], y = a.targets[i];
    const float positive = a.positive_weights ? y * a.positive_weights[i % a.classes] : y;
    loss += positive * softplus(-x) + (1.f - y) * softplus(x);
    a.gradient[i] = weight * ((1.f - y) * sigmoid(x) - positive * sigmoid(-x));
  }
  loss = block_sum(loss, partial);
  if (threadIdx.x == 0) *a.loss += weight * loss;
}

}  // namespace

void bce_with_logits(Queue& queue, const BceWithLogits& args) {
  const LaunchShape shape{dim3(1), kThreads, shared_bytes<float>(kThreads / kWarpSize)};
  launch<bce_with_logits_kernel>("bce_with_logits", queue, shape, args);
}

}  // namespace vitsnna::kernels::cuda
