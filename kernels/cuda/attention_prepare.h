// What the attention backward and the relevance kernels want to know of every query row, computed
// once instead of at every tile of keys.
#pragma once

#include "kernels/attention.h"
#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// Query rows are padded to a multiple of this: tiles of them are copied whole.
constexpr index_t kPreparedRows = 128;
constexpr index_t prepared_rows(index_t num_queries) {
  return (num_queries + kPreparedRows - 1) / kPreparedRows * kPreparedRows;
}

/// -log2(e) * log-sum-exp of a row that is padding: its probabilities are 0.
constexpr float no_probability = -1e30f;

/// Device arrays in scratch.
struct PreparedRows {
  /// (items, heads, padded): -log2(e) log_sum_exp, so that A = 2^(scale log2(e) S + shift)
  float* shift = nullptr;
  /// (items * gradients, heads, padded): D_i = dO_i . O_i, or null where it is not needed
  float* row_dot = nullptr;
  index_t padded = 0;
};

/// Where an op's temporary arrays lie in its scratch.
class ScratchLayout {
 public:
  explicit ScratchLayout(void* scratch = nullptr) : start_(static_cast<unsigned char*>(scratch)) {}
  float* floats(index_t count) {
    float* result = start_ ? reinterpret_cast<float*>(start_ + bytes_) : nullptr;
    bytes_ += (4 * count + 63) / 64 * 64;
    return result;
  }
  index_t bytes() const { return bytes_; }

 private:
  unsigned char* start_;
  index_t bytes_ = 0;
};

/// Fills in the arrays; `name` is what an error names. With row_dot null, `output` and
/// `output_gradient` are not read.
void prepare_rows(const char* name, Queue& queue, const AttentionShape& shape, index_t gradients,
                  const float* log_sum_exp, const ConstMatrix& output,
                  const ConstMatrix& output_gradient, const PreparedRows& rows);

}  // namespace vitsnna::kernels::cuda
