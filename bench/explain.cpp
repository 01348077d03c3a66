// Whole explanations as benchmarks: images a second, operations a second and the share of this
// machine's measured peak, per stage too, for a ViT-S/8 of random weights. On a GPU (--device=cuda)
// each case runs twice: replayed as a graph, and launch by launch. Exit status 77: no such device.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "bench/device_peaks.h"
#include "bench/op_bench.h"
#include "engine/graph_capture.h"
#include "explain/explainer.h"

namespace {

using namespace vitsnna;
using kernels::DType;
using kernels::index_t;

struct Case {
  index_t height, width, labels;
  DType precision;
  engine::Device device;
  double peak;  ///< FLOP/s of large products in `precision`, measured in this run
};

/// The device with a table that cannot capture graphs: every explanation is launched op by op.
engine::Device without_graphs(const engine::Device& device) {
  static kernels::Backend table;
  table = *device.backend;
  table.begin_capture = nullptr;
  engine::Device eager = device;
  eager.backend = &table;
  return eager;
}

model::VitConfig vit_small_patch8() {
  model::VitConfig config;
  config.embed_dim = 384;
  config.depth = 12;
  config.num_heads = 6;
  config.patch_size = 8;
  config.mlp_hidden = 4 * 384;
  config.trained_grid_height = config.trained_grid_width = 28;
  config.num_classes = 4;
  return config;
}

/// Smooth and deterministic; an explanation's cost does not depend on what is in the picture.
std::vector<float> picture(index_t height, index_t width) {
  std::vector<float> pixels(static_cast<std::size_t>(3 * height * width));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<float>(i % 97) / 48.f - 1.f;
  }
  return pixels;
}

void explain_once_each(benchmark::State& state, const Case& one) {
  engine::Queue queue(one.device);
  const double used_before = bench::used_bytes(queue);
  const model::Vit vit = model::Vit::random(queue, vit_small_patch8(), {}, 0, one.precision);
  explain::Explainer explainer(vit, queue);
  const std::vector<float> pixels = picture(one.height, one.width);
  explain::ExplainRequest request;
  request.labels.kind = explain::LabelSelection::Kind::indices;
  for (index_t label = 0; label < one.labels; ++label) request.labels.indices.push_back(label);

  // Plans, allocates and warms up; where there are graphs, the second explanation makes one.
  for (int warm_up = 0; warm_up < (engine::captures_graphs(queue) ? 2 : 1); ++warm_up) {
    explainer.explain({pixels.data(), one.height, one.width}, request);
  }
  double flops = 0, seconds = 0;
  std::map<std::string, explain::StageCost> stages;
  for (auto _ : state) {
    const explain::Explanation why =
        explainer.explain({pixels.data(), one.height, one.width}, request);
    benchmark::DoNotOptimize(why.maps.data());
    for (const auto& [stage, cost] : why.stages) {
      flops += cost.flops;
      seconds += cost.seconds;
      stages[stage].seconds += cost.seconds;
      stages[stage].flops += cost.flops;
    }
    state.counters["MiB"] = static_cast<double>(why.device_bytes) / (1 << 20);
  }
  if (used_before > 0) {
    state.counters["MiB_taken"] = (bench::used_bytes(queue) - used_before) / (1 << 20);
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["images/s"] = benchmark::Counter(runs, benchmark::Counter::kIsRate);
  state.counters["TFLOP"] = flops / runs * 1e-12;
  state.counters["GFLOP/s"] = flops / seconds * 1e-9;
  state.counters["share_of_peak"] = flops / seconds / one.peak;
  for (const auto& [stage, cost] : stages) {
    state.counters[stage + "_s"] = cost.seconds / runs;
    state.counters[stage + "_share"] = cost.flops / cost.seconds / one.peak;
  }
}

void register_cases(const engine::Device& device, const std::array<double, 2>& peaks) {
  constexpr std::array sizes = {std::array<index_t, 2>{224, 224}, std::array<index_t, 2>{360, 640}};
  for (const auto& [height, width] : sizes) {
    for (const index_t labels : {1, 4}) {
      for (const DType precision : {DType::f32, DType::bf16}) {
        for (const bool eager : {false, true}) {
          const bool graphs = device.backend->begin_capture != nullptr;
          if (eager && !graphs) continue;
          const std::string name =
              bench::joined({"explain/snna", std::to_string(height) + "x" + std::to_string(width),
                             "labels:" + std::to_string(labels), kernels::name_of(precision),
                             eager ? "eager" : (graphs ? "replayed" : "")});
          const Case one{height,
                         width,
                         labels,
                         precision,
                         eager ? without_graphs(device) : device,
                         peaks[static_cast<std::size_t>(precision)]};
          benchmark::RegisterBenchmark(
              name.c_str(), [one](benchmark::State& state) { explain_once_each(state, one); })
              ->Unit(benchmark::kMillisecond)
              ->UseRealTime();
        }
      }
    }
  }
}

/// Takes --device=NAME out of the arguments; "cpu" without.
std::string device_asked_for(int& count, char** arguments) {
  std::string device = "cpu";
  int kept = 0;
  for (int k = 0; k < count; ++k) {
    const std::string_view argument = arguments[k];
    constexpr std::string_view flag = "--device=";
    if (argument.starts_with(flag)) {
      device = argument.substr(flag.size());
    } else {
      arguments[kept++] = arguments[k];
    }
  }
  count = kept;
  return device;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string name = device_asked_for(count, arguments);
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 2;
  engine::Device device;
  try {
    device = engine::select_device(name);
  } catch (const std::exception& error) {
    constexpr int no_device = 77;
    std::fprintf(stderr, "bench_explain: skipped: %s\n", error.what());
    return no_device;
  }
  try {
    engine::Queue queue(device);
    const std::array<double, 2> peaks = bench::peaks_of(queue);
    benchmark::AddCustomContext("device", device.description);
    benchmark::AddCustomContext("peak fp32 GFLOP/s", std::to_string(peaks[0] * 1e-9));
    benchmark::AddCustomContext("peak bf16 GFLOP/s", std::to_string(peaks[1] * 1e-9));
    register_cases(device, peaks);
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_explain: %s\n", error.what());
    return 1;
  }
}
