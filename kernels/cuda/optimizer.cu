// AdamW, SGD and the teacher's average: one launch each over all tensors.
#include "kernels/cuda/ops.h"
#include "kernels/cuda/parameter_chunks.h"

namespace vitsnna::kernels::cuda {
namespace {

/// What a gradient of this norm is multiplied by.
__device__ __forceinline__ float clip_factor(float clip, float norm) {
  return clip <= 0.f ? 1.f : fminf(1.f, clip / (norm + 1e-6f));
}

/// 1 - base^exponent, in double: near 1 a base in fp32 would leave no digits.
__device__ __forceinline__ float one_minus_power(double base, unsigned exponent) {
  double power = 1.;
  for (; exponent != 0; exponent /= 2) {
    if (exponent % 2 == 1) power *= base;
    base *= base;
  }
  return static_cast<float>(1. - power);
}

__global__ void __launch_bounds__(kParameterThreads) adamw_kernel(AdamW a) {
  const StepSettings settings = *a.settings;
  const auto beta1 = static_cast<float>(a.beta1), beta2 = static_cast<float>(a.beta2);
  const auto rest1 = static_cast<float>(1. - a.beta1), rest2 = static_cast<float>(1. - a.beta2);
  for_segments(a.block, [&](index_t s, index_t first, index_t end) {
    const ParameterSegment segment = a.block.table[s];
    if (!moves(segment, settings)) return;
    const auto moved = static_cast<unsigned>(a.steps[s]);
    const float rate = settings.learning_rate * segment.learning_rate_scale;
    const float keep = 1.f - rate * settings.weight_decay * segment.weight_decay_scale;
    const float step = rate / one_minus_power(a.beta1, moved);
    const float scale = 1.f / sqrtf(one_minus_power(a.beta2, moved));
    const float factor = clip_factor(a.clip, a.norms[s]);
#pragma unroll 4
    for (index_t i = first + threadIdx.x; i < end; i += kParameterThreads) {
      const float g = a.gradients[i] * factor;
      const float m = beta1 * a.first_moment[i] + rest1 * g;
      const float v = beta2 * a.second_moment[i] + rest2 * g * g;
      a.first_moment[i] = m;
      a.second_moment[i] = v;
      a.parameters[i] = a.parameters[i] * keep - step * m / (sqrtf(v) * scale + a.epsilon);
    }
  });
}

__global__ void __launch_bounds__(kParameterThreads) sgd_kernel(Sgd a) {
  const StepSettings settings = *a.settings;
  for_segments(a.block, [&](index_t s, index_t first, index_t end) {
    const ParameterSegment segment = a.block.table[s];
    if (!moves(segment, settings)) return;
    const float rate = settings.learning_rate * segment.learning_rate_scale;
    const float decay = settings.weight_decay * segment.weight_decay_scale;
    const float factor = clip_factor(a.clip, a.norms[s]);
#pragma unroll 4
    for (index_t i = first + threadIdx.x; i < end; i += kParameterThreads) {
      const float p = a.parameters[i];
      const float velocity = a.momentum * a.velocity[i] + (a.gradients[i] * factor + decay * p);
      a.velocity[i] = velocity;
      a.parameters[i] = p - rate * velocity;
    }
  });
}

__global__ void __launch_bounds__(kParameterThreads)
    exponential_average_kernel(ExponentialAverage a) {
  const float momentum = a.settings->average_momentum, rest = 1.f - momentum;
  const index_t start = static_cast<index_t>(blockIdx.x) * kParameterChunk;
  const index_t end = start + kParameterChunk < a.elements ? start + kParameterChunk : a.elements;
#pragma unroll 4
  for (index_t i = start + threadIdx.x; i < end; i += kParameterThreads) {
    a.average[i] = momentum * a.average[i] + rest * a.values[i];
  }
}

}  // namespace

void adamw(Queue& queue, const AdamW& args) {
  launch<adamw_kernel>("adamw", queue, parameter_shape("adamw", args.block.elements), args);
}

void sgd(Queue& queue, const Sgd& args) {
  launch<sgd_kernel>("sgd", queue, parameter_shape("sgd", args.block.elements), args);
}

void exponential_average(Queue& queue, const ExponentialAverage& args) {
  constexpr const char* name = "exponential_average";
  launch<exponential_average_kernel>(name, queue, parameter_shape(name, args.elements), args);
}

}  // namespace vitsnna::kernels::cuda
