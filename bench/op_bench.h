// Registers the ops of a backend as benchmarks: time, FLOP/s or bytes/s, and the share of what the
// device reached on a large product or copy in the same run.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/op_sizes.h"
#include "kernels/backend.h"

namespace vitsnna::bench {

using namespace kernels;

enum class Bound { products_f32, products_bf16, memory };
inline Bound products_in(DType dtype) {
  return dtype == DType::f32 ? Bound::products_f32 : Bound::products_bf16;
}

/// Seconds that work takes on a queue's device, by the device's clock.
class DeviceClock {
 public:
  DeviceClock() = default;
  virtual ~DeviceClock() = default;
  DeviceClock(const DeviceClock&) = delete;
  DeviceClock& operator=(const DeviceClock&) = delete;
  /// Waits for the queue, then for what `work` puts on it.
  virtual double seconds(const std::function<void()>& work) = 0;
};

/// What a program benchmarks, and how.
struct Target {
  const Backend* backend = nullptr;
  Queue queue;  ///< open, without scratch
  Sizes sizes;
  /// Operations or bytes a second that the device reaches; measured on first use.
  std::function<double(Bound)> peak;
  DeviceClock* clock = nullptr;  ///< null: Google Benchmark's, of this thread
  bool wall_time = true;         ///< without a clock: wall time, else CPU time
  /// With a clock: calls that are timed together, as one graph where the backend has graphs.
  index_t calls_at_once = 1;
  /// Ops that memory bounds take turns among copies of their operands of so many bytes together, so
  /// that no cache holds what a call reads.
  double cold_bytes = 0;
  double least_seconds = 0;   ///< of one benchmark, unless 0
  bool fill_operands = true;  ///< false: for who looks at launches alone
  int iterations = 0;         ///< exactly so many, unless 0
  int failures = 0;           ///< benchmarks that ended with an error
};

/// Operands that live as long as their benchmark, filled with small deterministic values.
class Operands {
 public:
  explicit Operands(const Target& target) : target_(target) {}
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

  /// Device memory that holds a copy of `values`.
  template <class T>
  T* device(const std::vector<T>& values) {
    const auto size = static_cast<index_t>(values.size() * sizeof(T));
    T* const memory = static_cast<T*>(allocate(size));
    upload(memory, values.data(), size);
    return memory;
  }

  /// Host memory that lives as long: what an op's arguments point to on the host.
  template <class T>
  T* host(std::size_t count) {
    auto memory = std::make_shared<std::vector<T>>(count);
    T* const first = memory->data();
    host_.push_back(std::move(memory));
    return first;
  }

  /// Runs an op once, to prepare the operands of the one that is timed.
  template <class Args>
  void run(const Op<Args>& op, const Args& args) {
    Queue queue = with_scratch(op.scratch_for(target_.queue, args));
    op(queue, args);
    target_.backend->synchronize(queue);
  }
  /// The target's queue with scratch memory of these operands.
  Queue with_scratch(index_t bytes);

  double allocated_bytes() const { return allocated_; }

 private:
  void* allocate(index_t bytes);
  void upload(void* device, const void* host, index_t bytes);

  const Target& target_;
  std::vector<std::pair<void*, index_t>> memory_;
  std::vector<std::shared_ptr<void>> host_;
  double allocated_ = 0;
};

/// One benchmark: `calls` calls of an op by `work`, each so many operations or bytes.
struct Measured {
  std::function<void(Queue&)> work;
  Queue queue;
  index_t calls = 1;
  Bound bound = Bound::memory;
  double amount = 0;
};
void measure(benchmark::State& state, const Target& target, Measured measured);

/// How often a benchmark of this bound makes its operands, the first of which took so many bytes.
index_t copies_of_operands(const Target& target, Bound bound, double bytes);

/// Registers `body`, whose errors end that benchmark alone and are counted in the target.
void register_body(Target& target, const std::string& name,
                   const std::function<void(benchmark::State&)>& body);

/// `make(operands)` returns the op's arguments; they may point into `operands`.
template <class Args, class Make>
void register_op(Target& target, const std::string& name, const Op<Args> Backend::*op, Bound bound,
                 const Make& make) {
  const Op<Args>& entry = target.backend->*op;
  if (!entry.run) return;
  register_body(target, name, [&target, &entry, bound, make](benchmark::State& state) {
    Operands operands(target);
    std::vector<Args> calls = {make(operands)};
    const index_t copies = copies_of_operands(target, bound, operands.allocated_bytes());
    while (static_cast<index_t>(calls.size()) < copies) calls.push_back(make(operands));
    for (std::size_t k = 0; static_cast<index_t>(calls.size()) < target.calls_at_once; ++k) {
      calls.push_back(calls[k]);
    }
    Measured measured;
    measured.queue = operands.with_scratch(entry.scratch_for(target.queue, calls[0]));
    measured.calls = static_cast<index_t>(calls.size());
    measured.bound = bound;
    measured.amount = bound == Bound::memory ? vitsnna::kernels::bytes(calls[0])
                                             : vitsnna::kernels::flops(calls[0]);
    measured.work = [&](Queue& queue) {
      for (const Args& args : calls) entry(queue, args);
    };
    measure(state, target, std::move(measured));
  });
}

/// "fp32/785" of one image, "bf16/5x785" of five.
std::string size_name(DType dtype, index_t items, index_t tokens);
/// A benchmark's name: its parts with slashes between; empty ones are left out.
std::string joined(std::initializer_list<std::string_view> parts);

/// Ops that multiply, and ops that memory bounds, at the target's sizes.
void register_products(Target& target);
void register_elementwise(Target& target);
/// Ops of training alone.
void register_training(Target& target);

/// FLOP/s of a large linear layer (side x side x side) by the target's clock, the best of five.
double large_product(const Target& target, DType dtype, index_t side);

/// All of them.
inline void register_ops(Target& target) {
  register_products(target);
  register_elementwise(target);
  register_training(target);
}

/// Registers benchmarks and runs those that the command line asks for; the exit status.
int run_benchmarks(int argc, char** argv, Target& target,
                   const std::function<void(Target&)>& register_all);

}  // namespace vitsnna::bench
