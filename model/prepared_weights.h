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

/// What a layer's weight is for, so that nothing is kept beyond that.
struct WeightUse {
  bool backward = true;   ///< false: LinearLayer::backward is not prepared
  bool few_rows = false;  ///< as of kernels::LinearWeight
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
           index_t in_features, kernels::DType dtype, const WeightUse& use = {});
  /// Allocates what add() found to be wanted and points the layers to it.
  void allocate();

  /// Fills the block from the masters; again after they have changed.
  void prepare(engine::Queue& queue) const;
  index_t bytes() const { return bytes_; }
  /// Whether a product reads an fp32 master itself, so that it has to stay as it was prepared.
  bool reads_masters() const { return reads_masters_; }

 private:
  /// Where a weight's prepared copy lies in the block.
  struct Place {
    kernels::LinearWeight* weight = nullptr;
    index_t offset = 0;
    bool shared = false;  ///< another weight's copy, which serves this one too
  };

  void place(kernels::LinearWeight& weight);

  const kernels::Backend* backend_;
  void* memory_ = nullptr;
  index_t bytes_ = 0;
  bool reads_masters_ = false;
  std::vector<Place> places_;  ///< until allocate()
  std::vector<kernels::LinearPreparation> preparations_;
};

}  // namespace vitsnna::model
