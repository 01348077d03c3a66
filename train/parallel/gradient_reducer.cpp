// Buckets of a parameter table and the sums that they start.
#include "train/parallel/gradient_reducer.h"

#include <string>

#include "kernels/error.h"

namespace vitsnna::train {
namespace {

/// The ranges of the entries that are wanted, neighbours joined; padding between them included.
template <class Wanted>
std::vector<BucketRange> ranges_of(const model::ParameterTable& table, const Wanted& wanted) {
  std::vector<BucketRange> ranges;
  bool open = false;
  for (const model::ParameterTable::Entry& entry : table.entries()) {
    if (!wanted(entry)) {
      open = false;
      continue;
    }
    if (!open) ranges.push_back({entry.offset, 0});
    open = true;
    ranges.back().count = entry.offset + entry.elements - ranges.back().offset;
  }
  return ranges;
}

}  // namespace

BucketRange block_bucket(const model::ParameterTable& table, index_t block) {
  const std::string prefix = "blocks." + std::to_string(block) + ".";
  const auto ranges = ranges_of(table, [&](const model::ParameterTable::Entry& entry) {
    return entry.name.starts_with(prefix);
  });
  if (ranges.size() != 1) {
    throw Error("gradients of " + prefix + " lie in " + std::to_string(ranges.size()) +
                " places, 1 wanted");
  }
  return ranges.front();
}

std::vector<BucketRange> outer_buckets(const model::ParameterTable& table) {
  return ranges_of(table, [](const model::ParameterTable::Entry& entry) {
    return !entry.name.starts_with("blocks.");
  });
}

GradientReducer::GradientReducer(Communicator& communicator, engine::Queue& queue)
    : communicator_(communicator), queue_(queue) {
  if (communicator_.size() > 1) communicator_.open(queue);
}

bool GradientReducer::active() const {
  const kernels::Ledger* ledger = queue_.raw().ledger;
  return armed_ && !(ledger && ledger->planning());
}

void GradientReducer::start(float* values, index_t count) {
  if (active()) communicator_.start_sum(queue_, values, count);
}

void GradientReducer::start(const model::Parameters& gradients) {
  start(gradients.data(), gradients.table().block_elements());
}

void GradientReducer::start_block(const model::Parameters& gradients, index_t block) {
  if (!active()) return;
  if (block >= 0) {
    const BucketRange range = block_bucket(gradients.table(), block);
    return start(gradients.data() + range.offset, range.count);
  }
  for (const BucketRange& range : outer_buckets(gradients.table())) {
    start(gradients.data() + range.offset, range.count);
  }
}

void GradientReducer::finish() {
  if (armed_) communicator_.finish_sums(queue_);
  armed_ = false;
}

}  // namespace vitsnna::train
