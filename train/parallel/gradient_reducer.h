// Sums gradients over the ranks while the backward is still computing others: one bucket a block,
// sent when the block's gradients are final.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "model/parameters.h"
#include "train/parallel/communicator.h"

namespace vitsnna::train {

/// A run of floats in a block of gradients.
struct BucketRange {
  index_t offset = 0, count = 0;
  bool operator==(const BucketRange&) const = default;
};

/// The parameters of `block` ("blocks.N."), which lie side by side.
BucketRange block_bucket(const model::ParameterTable& table, index_t block);
/// Everything outside the blocks: embeddings, final norm, head.
std::vector<BucketRange> outer_buckets(const model::ParameterTable& table);

class GradientReducer {
 public:
  /// All of them outlive the reducer. Does nothing on one rank.
  GradientReducer(Communicator& communicator, engine::Queue& queue);

  /// Whether gradients from now on are the `last` of this rank's batch, so that sums may start.
  /// Before that the calls below do nothing, as gradients are still being added up.
  void arm(bool last = true) { armed_ = last && communicator_.size() > 1; }
  bool armed() const { return armed_; }
  /// Whether what the calls below do now is work on the queue alone: a graph may hold it.
  bool repeatable() const { return !armed_ || communicator_.sums_on_queue(); }

  /// A whole block of gradients or a buffer.
  void start(const model::Parameters& gradients);
  void start(float* values, index_t count);
  /// Block `block` of a ViT's gradients, or with -1 what lies outside the blocks.
  void start_block(const model::Parameters& gradients, index_t block);

  /// Waits, in the order of the queue, and disarms.
  void finish();

 private:
  bool active() const;
  Communicator& communicator_;
  engine::Queue& queue_;
  bool armed_ = false;
};

}  // namespace vitsnna::train
