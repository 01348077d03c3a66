// Least and greatest element of an array.
#include <algorithm>
#include <limits>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/row_operands.h"

namespace vitsnna::kernels::cpu {
namespace {

constexpr index_t elements_per_task = 1 << 16;
constexpr index_t num_lanes = 16;

struct Extremes {
  float least = std::numeric_limits<float>::infinity();
  float greatest = -least;
  /// Both comparisons are false for a NaN.
  void see(float value) { see(Extremes{value, value}); }
  void see(const Extremes& other) {
    least = other.least < least ? other.least : least;
    greatest = other.greatest > greatest ? other.greatest : greatest;
  }
};

/// In lanes, so that the compiler may use vectors: the result does not depend on the order.
Extremes extremes_of(const float* input, index_t count) {
  Extremes lanes[num_lanes];
  index_t first = 0;
  for (; first + num_lanes <= count; first += num_lanes) {
    for (index_t l = 0; l < num_lanes; ++l) lanes[l].see(input[first + l]);
  }
  for (; first < count; ++first) lanes[0].see(input[first]);
  for (const Extremes& lane : lanes) lanes[0].see(lane);
  return lanes[0];
}

}  // namespace

index_t min_max_scratch(const Queue&, const MinMax& a) {
  return ceil_div(a.elements, elements_per_task) * static_cast<index_t>(sizeof(Extremes));
}

void min_max(Queue& queue, const MinMax& a) {
  const index_t tasks = ceil_div(a.elements, elements_per_task);
  auto* partial = scratch_at<Extremes>(queue, 0);
  parallel_for(queue, tasks, [&](index_t task, int) {
    const index_t first = task * elements_per_task;
    partial[task] = extremes_of(a.input + first, std::min(elements_per_task, a.elements - first));
  });
  Extremes all;
  for (index_t task = 0; task < tasks; ++task) all.see(partial[task]);
  a.extremes[0] = all.least;
  a.extremes[1] = all.greatest;
}

}  // namespace vitsnna::kernels::cpu
