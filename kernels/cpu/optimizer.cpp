// Optimiser steps, a segment at a time and within it chunks of a fixed size side by side.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd/row_loops.h"
#include "kernels/cpu/simd/vector_loops.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t kChunk = index_t{1} << 16;

bool moves(const ParameterSegment& segment, const StepSettings& settings) {
  return segment.always_frozen == 0.f && !(segment.freezable != 0.f && settings.frozen != 0.f);
}

/// body(first, end) over the chunks of a segment.
template <class Body>
void for_chunks(const Queue& queue, const ParameterSegment& segment, const Body& body) {
  parallel_for(queue, ceil_div(segment.count, kChunk), [&](index_t chunk, int) {
    const index_t first = segment.offset + chunk * kChunk;
    body(first, std::min(first + kChunk, segment.offset + segment.count));
  });
}

/// What a gradient of this norm is multiplied by.
float clip_factor(float clip, float norm) {
  if (clip <= 0.f) return 1.f;
  return std::min(1.f, clip / (norm + 1e-6f));
}

}  // namespace

index_t gradient_norms_scratch(const Queue&, const GradientNorms& a) {
  return ceil_div(a.block.elements, kChunk) * 8;
}

void gradient_norms(Queue& queue, const GradientNorms& a) {
  auto* partial = scratch_at<double>(queue, 0);
  for (index_t s = 0; s < a.block.segments; ++s) {
    const ParameterSegment& segment = a.block.table[s];
    parallel_for(queue, ceil_div(segment.count, kChunk), [&](index_t chunk, int) {
      const float* g = a.gradients + segment.offset + chunk * kChunk;
      const index_t count = std::min(kChunk, segment.count - chunk * kChunk);
      constexpr index_t kRun = 256;  // short enough that fp32 sums stay exact to a few roundings
      double sum = 0;
      for (index_t first = 0; first < count; first += kRun) {
        sum += static_cast<double>(
            vector_loops().dot(std::min(kRun, count - first), g + first, g + first, DType::f32));
      }
      partial[chunk] = sum;
    });
    double sum = 0;
    for (index_t chunk = 0; chunk < ceil_div(segment.count, kChunk); ++chunk) sum += partial[chunk];
    a.norms[s] = static_cast<float>(std::sqrt(sum));
    if (!std::isfinite(a.norms[s])) *a.non_finite = 1.f;
    if (moves(segment, *a.settings)) a.steps[s] += 1.f;
  }
}

void adamw(Queue& queue, const AdamW& a) {
  for (index_t s = 0; s < a.block.segments; ++s) {
    const ParameterSegment& segment = a.block.table[s];
    if (!moves(segment, *a.settings)) continue;
    const auto moved = static_cast<double>(a.steps[s]);
    const float rate = a.settings->learning_rate * segment.learning_rate_scale;
    AdamWRun run;
    run.clip_factor = clip_factor(a.clip, a.norms[s]);
    run.beta1 = static_cast<float>(a.beta1);
    run.beta2 = static_cast<float>(a.beta2);
    run.rest1 = static_cast<float>(1. - a.beta1);
    run.rest2 = static_cast<float>(1. - a.beta2);
    run.keep = 1.f - rate * a.settings->weight_decay * segment.weight_decay_scale;
    run.step = static_cast<float>(static_cast<double>(rate) / (1. - std::pow(a.beta1, moved)));
    run.scale = static_cast<float>(1. / std::sqrt(1. - std::pow(a.beta2, moved)));
    run.epsilon = a.epsilon;
    for_chunks(queue, segment, [&](index_t first, index_t end) {
      AdamWRun chunk = run;
      chunk.count = end - first;
      chunk.gradient = a.gradients + first;
      chunk.parameter = a.parameters + first;
      chunk.first_moment = a.first_moment + first;
      chunk.second_moment = a.second_moment + first;
      row_loops().adamw(chunk);
    });
  }
}

void sgd(Queue& queue, const Sgd& a) {
  for (index_t s = 0; s < a.block.segments; ++s) {
    const ParameterSegment& segment = a.block.table[s];
    if (!moves(segment, *a.settings)) continue;
    const float rate = a.settings->learning_rate * segment.learning_rate_scale;
    const float decay = a.settings->weight_decay * segment.weight_decay_scale;
    const float factor = clip_factor(a.clip, a.norms[s]);
    for_chunks(queue, segment, [&](index_t first, index_t end) {
      for (index_t i = first; i < end; ++i) {
        const float d = a.gradients[i] * factor + decay * a.parameters[i];
        a.velocity[i] = a.momentum * a.velocity[i] + d;
        a.parameters[i] -= rate * a.velocity[i];
      }
    });
  }
}

void exponential_average(Queue& queue, const ExponentialAverage& a) {
  const float momentum = a.settings->average_momentum, rest = 1.f - momentum;
  parallel_for(queue, ceil_div(a.elements, kChunk), [&](index_t chunk, int) {
    const index_t end = std::min((chunk + 1) * kChunk, a.elements);
    for (index_t i = chunk * kChunk; i < end; ++i) {
      a.average[i] = momentum * a.average[i] + rest * a.values[i];
    }
  });
}

}  // namespace vitsnna::kernels::cpu
