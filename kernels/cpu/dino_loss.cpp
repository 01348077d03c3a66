// DINO's loss: the rows' log-sum-exps first, then one pass by column tiles, in which both views' q
// of an image stay in the cache while every crop meets them.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"
#include "kernels/cpu/simd/vector_loops.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t kTile = 1024;
constexpr float kLog2e = std::numbers::log2e_v<float>;

/// Per-row statistics and per-tile sums, in scratch.
struct Layout {
  explicit Layout(const DinoLoss& a) : tiles(ceil_div(a.out_dim, kTile)) {
    ScratchPlan plan;
    log_sum_exp = plan.reserve((2 + a.student_crops) * a.items * 4);
    sums = plan.reserve(tiles * 2 * 8);
    bytes = plan.bytes();
  }
  index_t tiles;
  index_t log_sum_exp;  ///< float (2 + student_crops, items), the teacher's first; base 2
  index_t sums;         ///< double (tiles, 2): cross-entropy and entropy
  index_t bytes;
};

/// values = (row[first ..] - shift[first ..]) * factor, as fp32.
void load(const void* row, DType dtype, const float* shift, index_t first, index_t count,
          float factor, float* values) {
  const auto* start = static_cast<const std::byte*>(row) + first * size_of(dtype);
  vector_loops().convert(count, start, dtype, 1.f, values, DType::f32);
  if (shift) {
    for (index_t c = 0; c < count; ++c) values[c] -= shift[first + c];
  }
  for (index_t c = 0; c < count; ++c) values[c] *= factor;
}

/// Sixteen values side by side, so that a reduction is not one long chain.
constexpr index_t kLanes = 16;

float largest(const float* values, index_t count, float least) {
  float lane[kLanes];
  std::fill_n(lane, kLanes, least);
  index_t c = 0;
  for (; c + kLanes <= count; c += kLanes) {
    for (index_t l = 0; l < kLanes; ++l) lane[l] = std::max(lane[l], values[c + l]);
  }
  for (; c < count; ++c) lane[0] = std::max(lane[0], values[c]);
  return *std::max_element(lane, lane + kLanes);
}

/// sum a b, in fp32 over runs short enough that its error stays some roundings of the largest
/// partial sum.
double dot(const float* a, const float* b, index_t count) {
  constexpr index_t kRun = 256;
  double sum = 0;
  for (index_t first = 0; first < count; first += kRun) {
    sum += static_cast<double>(
        vector_loops().dot(std::min(kRun, count - first), a + first, b + first, DType::f32));
  }
  return sum;
}

struct Ones {
  Ones() { std::fill_n(values, kTile, 1.f); }
  float values[kTile];
};

/// log2 sum 2^((row - shift) factor).
float log_sum_exp2(const void* row, DType dtype, const float* shift, index_t columns,
                   float factor) {
  static const Ones ones;
  float values[kTile];
  float maximum = -INFINITY;
  double sum = 0;
  for (index_t first = 0; first < columns; first += kTile) {
    const index_t count = std::min(kTile, columns - first);
    load(row, dtype, shift, first, count, factor, values);
    const float larger = largest(values, count, maximum);
    if (larger > maximum) {
      sum *= std::exp2(static_cast<double>(maximum) - static_cast<double>(larger));
      maximum = larger;
    }
    for (index_t c = 0; c < count; ++c) values[c] -= maximum;
    vector_loops().exp2(count, values, values);
    sum += dot(values, ones.values, count);
  }
  return maximum + static_cast<float>(std::log2(sum));
}

/// One tile of columns, for every image: gradients, the teacher's column sums, and the tile's part
/// of the loss.
class Tile {
 public:
  Tile(const DinoLoss& a, const float* log_sum_exp, index_t first)
      : a_(a),
        log_sum_exp_(log_sum_exp),
        first_(first),
        count_(std::min(kTile, a.out_dim - first)) {}

  void run(double* sums) {
    for (index_t item = 0; item < a_.items; ++item) {
      for (index_t view = 0; view < 2; ++view) teacher(view, item);
      for (index_t crop = 0; crop < a_.student_crops; ++crop) student(crop, item);
    }
    sums[0] = cross_entropy_;
    sums[1] = entropy_;
  }

 private:
  /// q_[view] and the view's part of entropy and column sums.
  void teacher(index_t view, index_t item) {
    const float factor = kLog2e / *a_.teacher_temperature;
    const float shift = log_sum_exp_[view * a_.items + item];
    const void* row = element(a_.teacher, view, item, 0);
    load(row, a_.teacher.dtype, nullptr, first_, count_, 1.f, values_);
    for (index_t c = 0; c < count_; ++c) a_.teacher_sum[first_ + c] += values_[c];
    load(row, a_.teacher.dtype, a_.centre, first_, count_, factor, values_);
    for (index_t c = 0; c < count_; ++c) values_[c] -= shift;
    vector_loops().exp2(count_, values_, q_[view]);
    // 0 ln 0 is 0, also where q underflows long before its logarithm overflows.
    entropy_ -= dot(q_[view], values_, count_);
  }

  void student(index_t crop, index_t item) {
    const float shift = log_sum_exp_[(2 + crop) * a_.items + item];
    load(element(a_.student, crop, item, 0), a_.student.dtype, nullptr, first_, count_,
         kLog2e / a_.student_temperature, values_);
    for (index_t c = 0; c < count_; ++c) values_[c] -= shift;  // log2 p
    for (index_t c = 0; c < count_; ++c) {
      target_[c] = crop == 0 ? q_[1][c] : crop == 1 ? q_[0][c] : q_[0][c] + q_[1][c];
    }
    cross_entropy_ -= dot(target_, values_, count_);
    vector_loops().exp2(count_, values_, values_);
    const float views = crop < 2 ? 1.f : 2.f;
    const auto pairs = static_cast<double>(2 * (a_.student_crops - 1) * a_.global_items);
    const auto weight =
        static_cast<float>(1. / (pairs * static_cast<double>(a_.student_temperature)));
    for (index_t c = 0; c < count_; ++c) {
      values_[c] = weight * (views * values_[c] - target_[c]);
    }
    vector_loops().convert(count_, values_, DType::f32, 1.f,
                           element(a_.student_gradient, crop, item, first_),
                           a_.student_gradient.dtype);
  }

  const DinoLoss& a_;
  const float* log_sum_exp_;
  index_t first_, count_;
  double cross_entropy_ = 0, entropy_ = 0;  // in bits
  float q_[2][kTile], values_[kTile], target_[kTile];
};

}  // namespace

index_t dino_loss_scratch(const Queue&, const DinoLoss& a) { return Layout(a).bytes; }

void dino_loss(Queue& queue, const DinoLoss& a) {
  check(a);
  const Layout layout(a);
  auto* log_sum_exp = scratch_at<float>(queue, layout.log_sum_exp);
  auto* sums = scratch_at<double>(queue, layout.sums);
  parallel_for(queue, (2 + a.student_crops) * a.items, [&](index_t task, int) {
    const index_t view = task / a.items, item = task % a.items;
    log_sum_exp[task] = view < 2
                            ? log_sum_exp2(element(a.teacher, view, item, 0), a.teacher.dtype,
                                           a.centre, a.out_dim, kLog2e / *a.teacher_temperature)
                            : log_sum_exp2(element(a.student, view - 2, item, 0), a.student.dtype,
                                           nullptr, a.out_dim, kLog2e / a.student_temperature);
  });
  parallel_for(queue, layout.tiles,
               [&](index_t tile, int) { Tile(a, log_sum_exp, tile * kTile).run(sums + 2 * tile); });
  double cross_entropy = 0, entropy = 0;
  for (index_t tile = 0; tile < layout.tiles; ++tile) {
    cross_entropy += sums[2 * tile];
    entropy += sums[2 * tile + 1];
  }
  const auto items = static_cast<double>(a.global_items);
  const auto pairs = static_cast<double>(2 * (a.student_crops - 1));
  a.monitors[0] += static_cast<float>(cross_entropy * std::numbers::ln2 / (pairs * items));
  a.monitors[1] += static_cast<float>(entropy * std::numbers::ln2 / (2 * items));
}

void update_centre(Queue&, const UpdateCentre& a) {
  const float share = (1.f - a.momentum) / static_cast<float>(a.rows);
  for (index_t c = 0; c < a.out_dim; ++c) {
    a.centre[c] = a.momentum * a.centre[c] + share * a.sum[c];
    a.sum[c] = 0.f;
  }
}

}  // namespace vitsnna::kernels::cpu
