// The parameters of a ViT: one contiguous fp32 block on the device and a table of canonical names;
// gradients use the same table. And the weights as products want them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/queue.h"
#include "engine/tensor.h"
#include "model/config.h"
#include "model/prepared_weights.h"

namespace vitsnna::model {

/// Where each parameter lies in the block. Names are the official DINO ones (SPEC section 7):
/// cls_token, pos_embed, patch_embed.proj.{weight,bias}, blocks.N.{norm1,attn.qkv,attn.proj,norm2,
/// mlp.fc1,mlp.fc2}.{weight,bias}, norm.{weight,bias}, head.{weight,bias}.
class ParameterTable {
 public:
  struct Entry {
    std::string name;
    std::vector<index_t> shape;
    index_t offset = 0;  ///< in floats, a multiple of 16
    index_t elements = 0;
  };

  /// An empty table, to be filled by add().
  ParameterTable() = default;
  /// A ViT's.
  explicit ParameterTable(const VitConfig& config);

  /// Appends a parameter at a 64-byte boundary.
  void add(std::string name, std::vector<index_t> shape);

  const std::vector<Entry>& entries() const { return entries_; }
  /// Throws Error naming the parameter when there is none of that name.
  const Entry& at(std::string_view name) const;
  index_t elements() const { return elements_; }              ///< of the model, padding not counted
  index_t block_elements() const { return block_elements_; }  ///< of the block, padding counted

 private:
  std::vector<Entry> entries_;
  index_t elements_ = 0;
  index_t block_elements_ = 0;
};

/// A block laid out by a table: parameters, their gradients, or an optimiser's moments. Zero at
/// first, padding included.
class Parameters {
 public:
  Parameters(engine::Queue& queue, ParameterTable table);
  Parameters(engine::Queue& queue, const VitConfig& config)
      : Parameters(queue, ParameterTable(config)) {}
  ~Parameters();
  Parameters(Parameters&&) noexcept;
  Parameters& operator=(Parameters&&) = delete;

  const ParameterTable& table() const { return table_; }
  float* data() const { return data_; }
  index_t bytes() const { return table_.block_elements() * 4; }
  float* at(std::string_view name) const { return data_ + table_.at(name).offset; }

 private:
  ParameterTable table_;
  const kernels::Backend* backend_;
  float* data_ = nullptr;
};

struct NormLayer {
  const float* gain = nullptr;
  const float* shift = nullptr;
};

/// One block's weights as views of the parameters and of the prepared copies. The last block asks
/// for its query (CLS row only) and its keys and values (every row) apart; the others at once.
struct BlockWeights {
  NormLayer norm1, norm2;
  LinearLayer query_key_value;   ///< all blocks but the last
  LinearLayer query, key_value;  ///< the last block
  LinearLayer projection, fc1, fc2;
};

/// Every weight of a ViT. Owns the prepared copies; the masters belong to Parameters.
class VitWeights {
 public:
  VitWeights(engine::Queue& queue, const VitConfig& config, const Parameters& parameters,
             kernels::DType precision, const WeightUse& use = {});
  /// Repeats the preparation after the masters have changed.
  void prepare(engine::Queue& queue) { prepared_.prepare(queue); }
  index_t bytes() const { return prepared_.bytes(); }

  LinearLayer patch_embedding, head;
  NormLayer norm;
  const float* cls_token = nullptr;
  const float* position_embedding = nullptr;
  std::vector<BlockWeights> blocks;

 private:
  PreparedWeights prepared_;
};

}  // namespace vitsnna::model
