// Weights as a backend wants them for products, in one block of device memory.
#pragma once

#include <utility>
#include <vector>

#include "engine/queue.h"
#include "kernels/backend.h"

namespace vitsnna::model {

using kernels::index_t;

/// A linear layer in both directions; `backward` multiplies by the weight transposed.
struct LinearLayer {
  kernels::LinearWeight forward;
  kernels::LinearWeight backward;
  const float* bias = nullptr;
};

class PreparedWeights {
 public:
  explicit PreparedWeights(const kernels::Backend& backend) : backend_(&backend) {}
  ~PreparedWeights();
  PreparedWeights(PreparedWeights&& other) noexcept;
  PreparedWeights& operator=(PreparedWeights&&) = delete;

  /// Sets up `layer`, which must stay where it is until allocate(): weight (out_features,
  /// in_features) and bias (out_features, or null) are the fp32 masters.
  void add(LinearLayer& layer, const float* weight, const float* bias, index_t out_features,
           index_t in_features, kernels::DType dtype);
  /// Allocates what add() found to be wanted and points the layers to it.
  void allocate();

  /// Fills the block from the masters; again after they have changed.
  void prepare(engine::Queue& queue) const;
  index_t bytes() const { return bytes_; }

 private:
  void place(kernels::LinearWeight& weight);

  const kernels::Backend* backend_;
  void* memory_ = nullptr;
  index_t bytes_ = 0;
  std::vector<std::pair<kernels::LinearWeight*, index_t>> places_;  ///< until allocate()
  std::vector<kernels::PrepareLinear> preparations_;
};

}  // namespace vitsnna::model
