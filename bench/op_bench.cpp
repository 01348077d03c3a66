// Operands, the timed loop and the command line that all op benchmarks share.
#include "bench/op_bench.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>

#include "kernels/bf16.h"

namespace vitsnna::bench {
namespace {

constexpr index_t kPeriod = 10007;

/// amplitude * sin(1.7 (i % period)), as an operand's bytes.
template <class T, class Convert>
std::vector<T> waves(index_t elements, float amplitude, const Convert& convert) {
  std::vector<T> values(static_cast<std::size_t>(elements));
  const auto period = static_cast<std::size_t>(std::min(elements, kPeriod));
  for (std::size_t i = 0; i < period; ++i) {
    values[i] = convert(amplitude * std::sin(static_cast<float>(i) * 1.7f));
  }
  for (std::size_t i = period; i < values.size(); ++i) values[i] = values[i - period];
  return values;
}

std::string billions(double rate) { return std::to_string(rate * 1e-9); }

}  // namespace

Operands::~Operands() {
  for (const auto& [memory, bytes] : memory_) target_.backend->deallocate(memory, bytes);
}

void* Operands::allocate(index_t bytes) {
  void* memory = target_.backend->allocate(bytes);
  memory_.emplace_back(memory, bytes);
  allocated_ += static_cast<double>(bytes);
  return memory;
}

void Operands::upload(void* device, const void* host, index_t bytes) {
  Queue queue = target_.queue;
  target_.backend->copy_to_device(queue, device, host, bytes);
  target_.backend->synchronize(queue);
}

void* Operands::take(index_t elements, DType dtype, float amplitude) {
  const index_t size = elements * size_of(dtype);
  void* memory = allocate(size);
  if (!target_.fill_operands) return memory;
  if (dtype == DType::f32) {
    upload(memory, waves<float>(elements, amplitude, [](float value) { return value; }).data(),
           size);
  } else {
    upload(memory,
           waves<bf16>(elements, amplitude, [](float value) { return to_bf16(value); }).data(),
           size);
  }
  return memory;
}

std::uint8_t* Operands::bytes(index_t count) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::uint8_t>(i * 37 % 251);
  }
  auto* memory = static_cast<std::uint8_t*>(allocate(count));
  upload(memory, values.data(), count);
  return memory;
}

Matrix Operands::matrix(index_t items, index_t rows, index_t columns, DType dtype,
                        float amplitude) {
  return {take(items * rows * columns, dtype, amplitude), dtype, rows * columns, columns};
}

LinearWeight Operands::weight(index_t out_features, index_t in_features, DType dtype,
                              bool transposed) {
  LinearWeight weight;
  weight.master = floats(out_features * in_features, .05f);
  weight.dtype = dtype;
  weight.transposed = transposed;
  weight.out_features = out_features;
  weight.in_features = in_features;
  if (const index_t size = target_.backend->linear_prepared_bytes(weight); size > 0) {
    void* prepared = allocate(size);
    const LinearPreparation preparation{weight, prepared};
    run(target_.backend->prepare_linear, {&preparation, 1});
    weight.prepared = prepared;
  }
  return weight;
}

Queue Operands::with_scratch(index_t bytes) {
  Queue queue = target_.queue;
  queue.scratch_bytes = bytes;
  if (bytes > 0) queue.scratch = allocate(bytes);
  return queue;
}

index_t copies_of_operands(const Target& target, Bound bound, double bytes) {
  if (bound != Bound::memory || target.cold_bytes <= 0) return 1;
  constexpr double most = 64;
  return static_cast<index_t>(std::clamp(std::ceil(target.cold_bytes / bytes), 1., most));
}

void measure(benchmark::State& state, const Target& target, Measured measured) {
  Queue& queue = measured.queue;
  const Backend& backend = *target.backend;
  measured.work(queue);
  backend.synchronize(queue);
  double amount = measured.amount * static_cast<double>(measured.calls);
  if (!target.clock) {
    for (auto _ : state) measured.work(queue);
  } else {
    std::unique_ptr<Graph> graph;
    if (backend.begin_capture) {
      backend.begin_capture(queue);
      measured.work(queue);
      graph = backend.end_capture(queue);
    }
    const auto calls = static_cast<double>(measured.calls);
    amount = measured.amount;  // an iteration counts as one call
    for (auto _ : state) {
      state.SetIterationTime(target.clock->seconds([&] {
        graph ? backend.launch_graph(queue, *graph) : measured.work(queue);
      }) / calls);
    }
  }
  const double total = amount * static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters[measured.bound == Bound::memory ? "bytes/s" : "FLOP/s"] =
      Counter(total, Counter::kIsRate);
  state.counters["share"] = Counter(total / target.peak(measured.bound), Counter::kIsRate);
}

void register_body(Target& target, const std::string& name,
                   const std::function<void(benchmark::State&)>& body) {
  auto* const registered =
      benchmark::RegisterBenchmark(name.c_str(), [&target, body](benchmark::State& state) {
        try {
          body(state);
        } catch (const std::exception& error) {
          ++target.failures;
          state.SkipWithError(error.what());
        }
      });
  registered->Unit(target.clock ? benchmark::kMicrosecond : benchmark::kMillisecond);
  if (target.clock) {
    registered->UseManualTime();
  } else if (target.wall_time) {
    registered->UseRealTime();
  }
  if (target.iterations > 0) {
    registered->Iterations(target.iterations);
  } else if (target.least_seconds > 0) {
    registered->MinTime(target.least_seconds);
  }
}

std::string size_name(DType dtype, index_t items, index_t tokens) {
  std::string count;
  if (items > 1) count = std::to_string(items) + "x";
  return joined({name_of(dtype), count + std::to_string(tokens)});
}

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string name;
  for (const std::string_view part : parts) {
    if (part.empty()) continue;
    if (!name.empty()) name += '/';
    name += part;
  }
  return name;
}

double large_product(const Target& target, DType dtype, index_t side) {
  Operands operands(target);
  Linear args;
  args.rows = side;
  args.input = operands.matrix(1, side, side, dtype);
  args.weight = operands.weight(side, side, dtype, false);
  args.output = operands.matrix(1, side, side, dtype);
  const auto& op = target.backend->linear;
  Queue queue = operands.with_scratch(op.scratch_for(target.queue, args));
  double fastest = 1e30;
  for (int repetition = 0; repetition < 6; ++repetition) {  // the first one warms up
    const double seconds = target.clock->seconds([&] { op(queue, args); });
    if (repetition > 0) fastest = std::min(fastest, seconds);
  }
  return flops(args) / fastest;
}

int run_benchmarks(int argc, char** argv, Target& target,
                   const std::function<void(Target&)>& register_all) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  register_all(target);
  benchmark::AddCustomContext("peak fp32 GFLOP/s", billions(target.peak(Bound::products_f32)));
  benchmark::AddCustomContext("peak bf16 GFLOP/s", billions(target.peak(Bound::products_bf16)));
  benchmark::AddCustomContext("peak copy GB/s", billions(target.peak(Bound::memory)));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return target.failures > 0 ? 1 : 0;
}

}  // namespace vitsnna::bench
