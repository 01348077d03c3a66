// Relevance chains as the relevance and the graph contracts use them.
#pragma once

#include <memory>

#include "tests/contract/attention_operands.h"

namespace vitsnna::contract {

using kernels::RelevanceChain;
using kernels::RelevanceClsRow;
using kernels::RelevanceRows;

/// Chains of every kind: weighted by query, by key per head, by key shared by the heads, and bare.
inline std::vector<oracle::Chain> random_chains(index_t heads, index_t tokens, index_t gradients,
                                                std::size_t count = 5) {
  std::vector<oracle::Chain> chains(count);
  for (std::size_t k = 0; k < count; ++k) {
    const std::uint64_t seed = 1000 * (k / 5);
    chains[k].gradient = static_cast<index_t>(k) % gradients;
    chains[k].row = random_values(tokens, seed + 20 + k % 5);
    const std::size_t kind = k % 5;
    if (kind == 1) chains[k].query_weight = random_values(heads * tokens, seed + 30);
    if (kind == 2) chains[k].key_weight = random_values(heads * tokens, seed + 31);
    if (kind == 3) chains[k].key_weight = random_values(tokens, seed + 32);
    if (kind == 4) chains[k].query_weight = random_values(heads * tokens, seed + 33);
    if (kind == 4) chains[k].key_weight = random_values(tokens, seed + 34);
  }
  return chains;
}

/// The chains' operands on the device.
class DeviceChains {
 public:
  DeviceChains(const Subject& subject, const std::vector<oracle::Chain>& chains, index_t tokens) {
    for (const oracle::Chain& chain : chains) {
      RelevanceChain c;
      c.gradient = chain.gradient;
      c.row = keep(subject, chain.row);
      c.query_weight = keep(subject, chain.query_weight);
      c.key_weight = keep(subject, chain.key_weight);
      c.key_weight_per_head = static_cast<index_t>(chain.key_weight.size()) > tokens;
      outputs_.push_back(
          std::unique_ptr<Operand>(new Operand(Operand::output(subject, dense(tokens)))));
      c.output = outputs_.back()->floats();
      chains_.push_back(c);
    }
  }
  const RelevanceChain* data() const { return chains_.data(); }
  index_t size() const { return static_cast<index_t>(chains_.size()); }
  /// Makes other chains of them, as valid: each with the row of its opposite, all of gradient 0.
  void overwrite() {
    std::vector<RelevanceChain> changed = chains_;
    for (std::size_t k = 0; k < changed.size(); ++k) {
      changed[k].row = chains_[chains_.size() - 1 - k].row;
      changed[k].gradient = 0;
    }
    std::copy(changed.begin(), changed.end(), chains_.begin());
  }
  Outputs outputs() const {
    Outputs result;
    for (const auto& output : outputs_) result.push_back(output->values());
    return result;
  }

 private:
  const float* keep(const Subject& subject, const Values& values) {
    if (values.empty()) return nullptr;
    inputs_.push_back(std::unique_ptr<Operand>(
        new Operand(Operand::input(subject, dense(static_cast<index_t>(values.size())), values))));
    return inputs_.back()->floats();
  }
  std::vector<std::unique_ptr<Operand>> inputs_, outputs_;
  std::vector<RelevanceChain> chains_;
};

}  // namespace vitsnna::contract
