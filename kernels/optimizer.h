// Optimiser steps over a whole block of parameters at once. SPEC sections 4 and 5.
//
// Parameters, gradients and moments are blocks of one layout (model/parameters.h); a table of
// segments says where each tensor lies. What changes from step to step is read from device memory,
// so that a captured step can be replayed.
#pragma once

#include "kernels/types.h"

namespace vitsnna::kernels {

/// One tensor of a block. Fixed layout: a table of these lies in device memory.
struct ParameterSegment {
  index_t offset = 0;  ///< in floats
  index_t count = 0;
  float learning_rate_scale = 1.f;  ///< of layer-wise decay
  float weight_decay_scale = 1.f;   ///< 0: this tensor is not decayed (biases, 1-D tensors)
  float freezable = 0.f;      ///< 1: stands still while StepSettings::frozen (DINO's last layer)
  float always_frozen = 0.f;  ///< 1: never moves
};

/// What a schedule sets before each step, in device memory.
struct StepSettings {
  float learning_rate = 0.f;
  float weight_decay = 0.f;
  float average_momentum = 1.f;  ///< of ExponentialAverage
  float frozen = 0.f;            ///< 1: freezable tensors stand still
  float teacher_temperature = 1.f;
  float reserved[3] = {};
};

/// A block and where its tensors lie.
struct ParameterBlock {
  index_t segments = 0;
  index_t elements = 0;                     ///< of the whole block, padding counted
  const ParameterSegment* table = nullptr;  ///< device memory, in the order of the offsets
};

/// norms[s] = |gradient of segment s|; steps[s] += 1 for every segment that moves in this step, so
/// that bias corrections count from a tensor's first move. non_finite becomes 1 where any norm is
/// not finite and is never reset here.
struct GradientNorms {
  ParameterBlock block;
  const float* gradients = nullptr;
  const StepSettings* settings = nullptr;
  float* norms = nullptr;       ///< (segments)
  float* steps = nullptr;       ///< (segments): moves so far, a whole number
  float* non_finite = nullptr;  ///< one number
};
inline const char* op_name(const GradientNorms&) { return "gradient_norms"; }
inline double flops(const GradientNorms& a) { return 2. * static_cast<double>(a.block.elements); }
inline double bytes(const GradientNorms& a) { return 4. * static_cast<double>(a.block.elements); }

/// AdamW with decoupled weight decay, after GradientNorms. With g clipped per tensor by
/// min(1, clip / (norm + 1e-6)), rate = learning_rate * learning_rate_scale, t = steps[s]:
///   p *= 1 - rate weight_decay weight_decay_scale
///   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
///   p -= rate / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
/// A segment that stands still keeps p, m and v.
struct AdamW {
  ParameterBlock block;
  const StepSettings* settings = nullptr;
  const float* norms = nullptr;
  const float* steps = nullptr;
  const float* gradients = nullptr;
  float* parameters = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  float clip = 0.f;  ///< greatest L2 norm of a tensor's gradient; 0: as it is
  double beta1 = .9;
  double beta2 = .999;
  float epsilon = 1e-8f;
};
inline const char* op_name(const AdamW&) { return "adamw"; }
inline double flops(const AdamW& a) { return 16. * static_cast<double>(a.block.elements); }
inline double bytes(const AdamW& a) { return 28. * static_cast<double>(a.block.elements); }

/// Stochastic gradient descent with momentum, after GradientNorms; clip and rate as in AdamW:
///   d = g + weight_decay weight_decay_scale p;  velocity = momentum velocity + d
///   p -= rate velocity
struct Sgd {
  ParameterBlock block;
  const StepSettings* settings = nullptr;
  const float* norms = nullptr;
  const float* gradients = nullptr;
  float* parameters = nullptr;
  float* velocity = nullptr;
  float clip = 0.f;
  float momentum = .9f;
};
inline const char* op_name(const Sgd&) { return "sgd"; }
inline double flops(const Sgd& a) { return 6. * static_cast<double>(a.block.elements); }
inline double bytes(const Sgd& a) { return 20. * static_cast<double>(a.block.elements); }

/// average = momentum average + (1 - momentum) values, momentum = settings->average_momentum.
struct ExponentialAverage {
  index_t elements = 0;
  const StepSettings* settings = nullptr;
  const float* values = nullptr;
  float* average = nullptr;
};
inline const char* op_name(const ExponentialAverage&) { return "exponential_average"; }
inline double flops(const ExponentialAverage& a) { return 3. * static_cast<double>(a.elements); }
inline double bytes(const ExponentialAverage& a) { return 12. * static_cast<double>(a.elements); }

}  // namespace vitsnna::kernels
