// First every layer with its place in the block, then the block, then the pointers.
#include "model/prepared_weights.h"

namespace vitsnna::model {

namespace {

constexpr index_t kByteAlignment = 256;

}  // namespace

PreparedWeights::~PreparedWeights() {
  if (memory_) backend_->deallocate(memory_, bytes_);
}

PreparedWeights::PreparedWeights(PreparedWeights&& other) noexcept
    : backend_(other.backend_),
      memory_(std::exchange(other.memory_, nullptr)),
      bytes_(other.bytes_),
      reads_masters_(other.reads_masters_),
      places_(std::move(other.places_)),
      preparations_(std::move(other.preparations_)) {}

void PreparedWeights::add(LinearLayer& layer, const float* weight, const float* bias,
                          index_t out_features, index_t in_features, kernels::DType dtype,
                          const WeightUse& use) {
  layer.forward = {weight, nullptr, dtype, false, out_features, in_features, use.few_rows};
  layer.backward = {weight, nullptr, dtype, true, out_features, in_features, use.few_rows};
  layer.bias = bias;
  const index_t offset = bytes_;
  place(layer.forward);
  if (!use.backward) return;
  if (!backend_->prepared_serves_both_ways) {
    place(layer.backward);
  } else if (bytes_ > offset) {
    places_.push_back({&layer.backward, offset, true});
  }
}

void PreparedWeights::place(kernels::LinearWeight& weight) {
  const index_t bytes = backend_->linear_prepared_bytes(weight);
  reads_masters_ = reads_masters_ || bytes == 0;
  if (bytes == 0) return;
  places_.push_back({&weight, bytes_, false});
  bytes_ += (bytes + kByteAlignment - 1) / kByteAlignment * kByteAlignment;
}

void PreparedWeights::allocate() {
  if (bytes_ > 0) memory_ = backend_->allocate(bytes_);
  for (const Place& place : places_) {
    char* const memory = static_cast<char*>(memory_) + place.offset;
    place.weight->prepared = memory;
    if (!place.shared) preparations_.push_back({*place.weight, memory});
  }
  places_.clear();
}

void PreparedWeights::prepare(engine::Queue& queue) const {
  if (preparations_.empty()) return;
  queue.backend().prepare_linear(
      queue.raw(), {preparations_.data(), static_cast<index_t>(preparations_.size())});
}

}  // namespace vitsnna::model
