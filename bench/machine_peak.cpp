// The ceilings: a large oneDNN product per type, and a large copy.
#include "bench/machine_peak.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

namespace vitsnna::bench {
namespace {

using kernels::index_t;

/// Wall time; CPU time on one thread, as the benchmarks themselves.
double seconds_now(int threads) {
  if (threads == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Body>
double fastest_seconds(int threads, const Body& body) {
  double fastest = 1e30;
  for (int repetition = 0; repetition < 5; ++repetition) {
    const double start = seconds_now(threads);
    body();
    fastest = std::min(fastest, seconds_now(threads) - start);
  }
  return fastest;
}

}  // namespace

double peak_flops(kernels::DType dtype, int threads) {
  using dnnl::memory;
  constexpr index_t side = 3072;
  omp_set_num_threads(threads);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto type = dtype == kernels::DType::f32 ? memory::data_type::f32 : memory::data_type::bf16;
  const memory::desc left({side, side}, type, memory::format_tag::ab);
  const memory::desc right({side, side}, type, memory::format_tag::any);
  const memory::desc output({side, side}, memory::data_type::f32, memory::format_tag::ab);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(engine, left, right, output);
#else
  const dnnl::matmul::primitive_desc description({left, right, output}, engine);
#endif
  const dnnl::matmul product(description);
  memory a(description.src_desc(), engine), b(description.weights_desc(), engine),
      c(description.dst_desc(), engine);
  std::memset(a.get_data_handle(), 0, a.get_desc().get_size());
  std::memset(b.get_data_handle(), 0, b.get_desc().get_size());
  std::memset(c.get_data_handle(), 0, c.get_desc().get_size());
  const double seconds = fastest_seconds(threads, [&] {
    product.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
    stream.wait();
  });
  return 2. * side * side * side / seconds;
}

double peak_bytes(int threads) {
  constexpr index_t bytes = index_t{1} << 28;
  std::vector<char> from(bytes, 1), to(bytes, 2);
  const index_t chunk = bytes / threads;
  const double seconds = fastest_seconds(threads, [&] {
#pragma omp parallel for num_threads(threads)
    for (int thread = 0; thread < threads; ++thread) {
      std::memcpy(to.data() + thread * chunk, from.data() + thread * chunk,
                  static_cast<std::size_t>(chunk));
    }
  });
  return 2. * static_cast<double>(chunk * threads) / seconds;
}

}  // namespace vitsnna::bench
