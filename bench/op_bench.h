// Registers one op of the CPU backend as a benchmark: time, GFLOP/s or GB/s, and the share of what
// the machine reached on a large product or copy in the same run.
#pragma once

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace vitsnna::bench {

using namespace kernels;

/// Threads of every benchmark: OMP_NUM_THREADS, else the machine's.
int thread_count();

enum class Bound { products_f32, products_bf16, memory };
inline Bound products_in(DType dtype) {
  return dtype == DType::f32 ? Bound::products_f32 : Bound::products_bf16;
}
double peak_of(Bound bound);

/// Operands that live as long as their benchmark, filled with small deterministic values.
class Operands {
 public:
  Operands() = default;
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;
  ~Operands();

  void* take(index_t elements, DType dtype, float amplitude = 1.f);
  float* floats(index_t elements, float amplitude = 1.f) {
    return static_cast<float*>(take(elements, DType::f32, amplitude));
  }
  std::uint8_t* bytes(index_t count);
  /// (items, rows, columns), dense
  Matrix matrix(index_t items, index_t rows, index_t columns, DType dtype, float amplitude = 1.f);
  LinearWeight weight(index_t out_features, index_t in_features, DType dtype, bool transposed);

 private:
  std::vector<std::pair<void*, index_t>> memory_;
};

/// `make(operands)` returns the op's arguments; they may point into `operands`.
template <class Args, class Make>
void register_op(const std::string& name, const Op<Args> Backend::*op, Bound bound,
                 const Make& make) {
  auto* const registered = benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    Operands operands;
    const Args args = make(operands);
    const auto& entry = cpu_backend().*op;
    Queue queue;
    queue.num_threads = thread_count();
    queue.scratch_bytes = entry.scratch_for(queue, args);
    queue.scratch = operands.take((queue.scratch_bytes + 3) / 4, DType::f32);
    entry(queue, args);
    for (auto _ : state) entry(queue, args);
    const double work = bound == Bound::memory ? bytes(args) : flops(args);
    const double total = work * static_cast<double>(state.iterations());
    using benchmark::Counter;
    state.counters[bound == Bound::memory ? "bytes/s" : "FLOP/s"] =
        Counter(total, Counter::kIsRate);
    state.counters["share"] = Counter(total / peak_of(bound), Counter::kIsRate);
  });
  registered->Unit(benchmark::kMillisecond);
  // One thread is timed in CPU time, which neighbours on the machine disturb less.
  if (thread_count() > 1) registered->UseRealTime();
}

void register_products();
void register_elementwise();

}  // namespace vitsnna::bench
