// DINO's projection head: d -> hidden GELU -> hidden GELU -> bottleneck, scaled to length 1, then a
// weight-normalised linear layer without bias onto out_dim logits. SPEC section 4.
#pragma once

#include <vector>

#include "engine/arena.h"
#include "model/parameters.h"

namespace vitsnna::train {

using engine::Tensor;
using kernels::DType;
using kernels::index_t;

struct DinoHeadConfig {
  index_t in_features = 0;
  index_t hidden = 2048;
  index_t bottleneck = 256;
  index_t out_dim = 65536;
  bool norm_last_layer = true;  ///< the last layer's lengths stay 1
};

/// Names as in the official code: mlp.{0,2,4}.{weight,bias}, last_layer.weight_{g,v}.
model::ParameterTable head_table(const DinoHeadConfig& config);

/// What a forward keeps for its backward, in the caller's arena.
struct DinoHeadPass {
  Tensor input;              ///< (items, d), as the products want it
  Tensor pre_activation[2];  ///< (items, hidden)
  Tensor hidden[2];          ///< (items, hidden)
  Tensor bottleneck;         ///< (items, bottleneck) fp32
  Tensor normalised;         ///< (items, bottleneck)
  Tensor logits;             ///< (items, out_dim) fp32
};

class DinoHead {
 public:
  /// Parameters are zero until they are set and refresh() is called. Without `use.backward` it runs
  /// forward only.
  DinoHead(engine::Queue& queue, const DinoHeadConfig& config, DType precision,
           const model::WeightUse& use = {});

  const DinoHeadConfig& config() const { return config_; }
  const model::Parameters& parameters() const { return parameters_; }

  /// Normalises the last layer and prepares all weights, after the parameters have changed.
  void refresh(engine::Queue& queue);

  /// `features` (items, d) fp32. Logits go to `logits` where it is given.
  DinoHeadPass forward(engine::Queue& queue, engine::Arena& arena, const Tensor& features,
                       const Tensor& logits = {}) const;

  /// From the logits' gradient (as DinoHeadPass::logits): ADDS parameter gradients to `gradients`
  /// (of this table) and returns the features' gradient, (items, d) fp32, from the arena.
  Tensor backward(engine::Queue& queue, engine::Arena& arena, const DinoHeadPass& pass,
                  const Tensor& logits_gradient, const model::Parameters& gradients) const;

 private:
  /// Consecutive outputs of the last layer, which is by far the largest: what is computed of it on
  /// the way (weights, their gradient) is there for one slice at a time.
  struct Slice {
    index_t first = 0, count = 0;
    model::LinearLayer layer;
    model::PreparedWeights prepared;
  };
  void last_layer_weight_gradient(engine::Queue& queue, engine::Arena& arena,
                                  const DinoHeadPass& pass, const Tensor& logits_gradient,
                                  const Slice& slice, const model::Parameters& gradients) const;
  /// The slice's g v / |v|; where the products read their own copies, every slice has it in turn.
  float* last_weight(const Slice& slice) const;

  DinoHeadConfig config_;
  DType precision_;
  model::Parameters parameters_;
  bool keeps_last_weight_;
  model::Parameters last_weight_;
  model::PreparedWeights prepared_;
  model::LinearLayer mlp_[3];
  std::vector<Slice> last_;
};

}  // namespace vitsnna::train
