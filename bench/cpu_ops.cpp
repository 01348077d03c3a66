// Every op of the CPU backend at the sizes of ViT-S/8 on 224x224 (785 tokens) and 360x640 (3601).
#include <omp.h>

#include <cmath>
#include <cstdio>

#include "bench/machine_peak.h"
#include "bench/op_bench.h"
#include "kernels/bf16.h"

namespace vitsnna::bench {

int thread_count() {
  static const int threads = omp_get_max_threads();
  return threads;
}

double peak_of(Bound bound) {
  static const double peaks[] = {peak_flops(DType::f32, thread_count()),
                                 peak_flops(DType::bf16, thread_count()),
                                 peak_bytes(thread_count())};
  return peaks[static_cast<int>(bound)];
}

Operands::~Operands() {
  for (const auto& [memory, bytes] : memory_) cpu_backend().deallocate(memory, bytes);
}

void* Operands::take(index_t elements, DType dtype, float amplitude) {
  const index_t size = elements * size_of(dtype);
  void* memory = cpu_backend().allocate(size);
  memory_.emplace_back(memory, size);
  for (index_t i = 0; i < elements; ++i) {
    const float value = amplitude * std::sin(static_cast<float>(i % 10007) * 1.7f);
    if (dtype == DType::f32) {
      static_cast<float*>(memory)[i] = value;
    } else {
      static_cast<bf16*>(memory)[i] = to_bf16(value);
    }
  }
  return memory;
}

std::uint8_t* Operands::bytes(index_t count) {
  auto* memory = static_cast<std::uint8_t*>(cpu_backend().allocate(count));
  memory_.emplace_back(memory, count);
  for (index_t i = 0; i < count; ++i) memory[i] = static_cast<std::uint8_t>(i * 37 % 251);
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
  if (const index_t bytes = cpu_backend().linear_prepared_bytes(weight); bytes > 0) {
    void* prepared = take((bytes + 3) / 4, DType::f32);
    Queue queue;
    cpu_backend().prepare_linear(queue, {weight, prepared});
    weight.prepared = prepared;
  }
  return weight;
}

}  // namespace vitsnna::bench

int main(int argc, char** argv) {
  using namespace vitsnna::bench;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("threads", std::to_string(thread_count()));
  benchmark::AddCustomContext("peak fp32 GFLOP/s",
                              std::to_string(peak_of(Bound::products_f32) * 1e-9));
  benchmark::AddCustomContext("peak bf16 GFLOP/s",
                              std::to_string(peak_of(Bound::products_bf16) * 1e-9));
  benchmark::AddCustomContext("peak copy GB/s", std::to_string(peak_of(Bound::memory) * 1e-9));
  register_products();
  register_elementwise();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
