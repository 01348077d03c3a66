// DINO's training step, timed: on crops that are ready, or (where the program can read images) fed
// by the loader from a set of them.
// Prints one JSON object, with the names of bench/baselines/dino_torch.py. Exit status 77: no such
// device.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "bench/device_peaks.h"
#include "engine/graph_capture.h"
#include "engine/ledger.h"
#include "train/data/sources/sources.h"
#include "train/dino/pretraining.h"
#if defined(VITSNNA_READS_IMAGES)
#include "train/data/image_files.h"
#endif

namespace {

using namespace vitsnna;
using kernels::DType;
using kernels::index_t;
using nlohmann::json;

struct Arguments {
  std::string model = "s8", precision = "fp32", device = "cpu", data;
  index_t batch = 2, locals = 8, out_dim = 65536;
  int threads = 2, steps = 3, warm_up = 1;
  bool ops = false;
};

constexpr index_t kGlobal = 224, kLocal = 96;

model::VitConfig config_of(const std::string& name) {
  model::VitConfig config;
  const bool tiny = name == "ti16";
  config.embed_dim = tiny ? 192 : 384;
  config.num_heads = tiny ? 3 : 6;
  config.depth = 12;
  config.patch_size = name == "s8" ? 8 : 16;
  config.mlp_hidden = 4 * config.embed_dim;
  config.trained_grid_height = config.trained_grid_width = kGlobal / config.patch_size;
  return config;
}

/// How --data's images are read.
train::ImageReader image_reader() {
#if defined(VITSNNA_READS_IMAGES)
  return train::image_files();
#else
  throw Error("--data: this program reads no images, bench_pretrain does");
#endif
}

/// The peak resident memory of this process, in MiB.
double peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024.;
  }
  return 0;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : .5 * (values[half - 1] + values[half]);
}

/// Crops of every image, the same in every step, and the learner that takes them.
class ComputeAlone {
 public:
  ComputeAlone(const Arguments& arguments, engine::Queue& queue, const model::Checkpoint& backbone,
               const train::PretrainOptions& options)
      : arguments_(arguments),
        queue_(queue),
        learner_(queue, backbone.config, backbone.metadata, options.head, backbone.tensors,
                 train::random_head(options.head, 0), options.precision, options.learner) {
    global_ = crops(2, kGlobal);
    if (arguments.locals > 0) local_ = crops(arguments.locals, kLocal);
  }
  ~ComputeAlone() {
    for (const auto& [memory, bytes] : taken_) queue_.backend().deallocate(memory, bytes);
  }
  ComputeAlone(const ComputeAlone&) = delete;
  ComputeAlone& operator=(const ComputeAlone&) = delete;

  train::DinoReport step() {
    train::DinoStep schedule;
    schedule.learning_rate = 1e-4;
    schedule.weight_decay = .04;
    schedule.teacher_momentum = .996;
    learner_.begin(schedule);
    learner_.add(arguments_.batch, global_, local_, arguments_.batch);
    return learner_.finish(arguments_.batch);
  }

 private:
  train::CropBatch crops(index_t count, index_t side) {
    std::vector<float> pixels(static_cast<std::size_t>(count * arguments_.batch * 3 * side * side));
    std::uint32_t state = 1;  // some texture: a step's cost does not depend on it
    for (float& pixel : pixels) {
      state = state * 1664525u + 1013904223u;
      pixel = static_cast<float>(state >> 8) / 8388608.f - 1.f;
    }
    const auto bytes = static_cast<index_t>(pixels.size() * 4);
    void* const memory = queue_.backend().allocate(bytes);
    taken_.emplace_back(memory, bytes);
    queue_.upload(memory, pixels.data(), bytes);
    queue_.synchronize();
    return {count, side, side, static_cast<const float*>(memory)};
  }

  const Arguments& arguments_;
  engine::Queue& queue_;
  train::DinoLearner learner_;
  train::CropBatch global_, local_;
  std::vector<std::pair<void*, index_t>> taken_;
};

/// Steps before the timed ones. Where there are graphs each is captured in its second step, and the
/// loader hands out its two memories by turns, with a graph for each.
int warm_up_of(const Arguments& arguments, const engine::Queue& queue) {
  if (!engine::captures_graphs(queue)) return arguments.warm_up;
  return std::max(arguments.warm_up, arguments.data.empty() ? 2 : 4);
}

/// Times arguments.steps of them after the warm-up; the ledger sees one more, op by op.
template <class Step>
json timed(const Arguments& arguments, engine::Queue& queue, engine::CountingLedger& ledger,
           const Step& step) {
  std::vector<double> seconds, processor_seconds;
  double first_loss = 0;
  const int warm_up = warm_up_of(arguments, queue);
  for (int k = 0; k < warm_up + arguments.steps; ++k) {
    const std::clock_t processor_start = std::clock();
    const double start = now();
    const train::DinoReport report = step();
    queue.synchronize();
    seconds.push_back(now() - start);
    processor_seconds.push_back(static_cast<double>(std::clock() - processor_start) /
                                CLOCKS_PER_SEC);
    if (k == 0) first_loss = report.loss;
  }
  const auto middle_of = [&](const std::vector<double>& values) {
    return median({values.begin() + warm_up, values.end()});
  };
  const double middle = middle_of(seconds);
  const engine::LedgerScope scope(queue, &ledger);
  step();
  json result = {{"seconds", middle},
                 {"device_mib", bench::used_bytes(queue) / (1 << 20)},
                 {"images_per_second", static_cast<double>(arguments.batch) / middle},
                 {"processor_seconds", middle_of(processor_seconds)},
                 {"all_seconds", seconds},
                 {"loss", first_loss}};
  return result;
}

json op_table(const engine::CountingLedger& ledger) {
  json table = json::object();
  for (const auto& [name, cost] : ledger.ops()) {
    table[name] = {{"calls", cost.calls},
                   {"seconds", cost.seconds},
                   {"gflops_per_second", cost.flops / cost.seconds * 1e-9}};
  }
  return table;
}

json run(const Arguments& arguments) {
  engine::Queue queue(engine::select_device(arguments.device), arguments.threads);
  const auto precision = arguments.precision == "bf16" ? DType::bf16 : DType::f32;
  const double peak = bench::peaks_of(queue)[static_cast<std::size_t>(precision)];
  const double used_before = bench::used_bytes(queue) / (1 << 20);

  model::Checkpoint backbone;
  backbone.config = config_of(arguments.model);
  {
    const model::Vit vit =
        model::Vit::random(queue, backbone.config, backbone.metadata, 0, DType::f32);
    backbone.tensors = train::download(queue, vit.parameters());
  }
  train::PretrainOptions options;
  options.batch = arguments.batch;
  options.precision = precision;
  options.head.in_features = backbone.config.embed_dim;
  options.head.out_dim = arguments.out_dim;
  options.crops.locals = static_cast<int>(arguments.locals);
  options.decode_threads = arguments.threads;

  engine::CountingLedger ledger(engine::CountingLedger::Mode::measure);
  json result;
  if (arguments.data.empty()) {
    ComputeAlone compute(arguments, queue, backbone, options);
    backbone.tensors.clear();
    result = timed(arguments, queue, ledger, [&] { return compute.step(); });
  } else {
    const train::Dataset images = train::open_dataset(arguments.data);
    const auto alone = train::single_process();
    const int warm_up = warm_up_of(arguments, queue), steps = warm_up + arguments.steps;
    options.epochs = (steps + 1) * arguments.batch / images.size() + 1;
    options.warmup_epochs = 0;
    train::Pretraining training(queue, *alone, options, backbone, images, image_reader());
    backbone.tensors.clear();
    std::vector<double> stalls;  // after each step
    result = timed(arguments, queue, ledger, [&] {
      const train::DinoReport report = training.step();
      stalls.push_back(training.data().stall_seconds);
      return report;
    });
    const auto& seconds = result["all_seconds"];
    const double all =
        std::accumulate(seconds.begin() + warm_up, seconds.end(), 0.,
                        [](double sum, const json& one) { return sum + one.get<double>(); });
    const double before = warm_up > 0 ? stalls[static_cast<std::size_t>(warm_up - 1)] : 0.;
    result["data_stall"] = (stalls[static_cast<std::size_t>(steps - 1)] - before) / all;
  }
  const double flops = ledger.flops();
  result["device_mib"] = result["device_mib"].get<double>() - used_before;  // 0 on a CPU
  result["tflop"] = flops * 1e-12;
  result["peak_gflops_per_second"] = peak * 1e-9;
  result["share_of_peak"] = flops / result["seconds"].get<double>() / peak;
  result["process_peak_mib"] = peak_mib();
  result["program"] = "bench_pretrain";
  result["device"] = arguments.device;
  result["model"] = arguments.model;
  result["batch"] = arguments.batch;
  result["precision"] = arguments.precision;
  if (arguments.ops) result["ops"] = op_table(ledger);
  return result;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  CLI::App app("DINO's training step, timed");
  app.add_option("--model", arguments.model)->check(CLI::IsMember({"s8", "s16", "ti16"}));
  app.add_option("--batch", arguments.batch, "Images of a step")->check(CLI::PositiveNumber);
  app.add_option("--locals", arguments.locals, "Local crops of an image")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--out-dim", arguments.out_dim)->check(CLI::PositiveNumber);
  app.add_option("--precision", arguments.precision)->check(CLI::IsMember({"fp32", "bf16"}));
  app.add_option("--device", arguments.device);
  app.add_option("--threads", arguments.threads)->check(CLI::PositiveNumber);
  app.add_option("--steps", arguments.steps, "Timed steps")->check(CLI::PositiveNumber);
  app.add_option("--warm-up", arguments.warm_up, "Steps before them")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--data", arguments.data, "A set of images for the loader; else crops are ready");
  app.add_flag("--ops", arguments.ops, "Print each op's part of a step");
  CLI11_PARSE(app, count, words);
  try {
    engine::select_device(arguments.device);
  } catch (const std::exception& error) {
    constexpr int no_device = 77;
    std::fprintf(stderr, "bench_pretrain: skipped: %s\n", error.what());
    return no_device;
  }
  try {
    std::printf("%s\n", run(arguments).dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_pretrain: %s\n", error.what());
    return 1;
  }
}
