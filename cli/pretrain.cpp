// `vitsnna pretrain`: DINO without labels, from a folder of images to a backbone.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_text.h"
#include "cli/pretrain_options.h"
#include "cli/session.h"
#include "cli/stop_request.h"
#include "engine/io/safetensors.h"
#include "engine/io/sha256.h"
#include "train/data/image_files.h"
#include "train/data/sources/sources.h"
#include "train/data/summary.h"
#include "train/dino/pretraining.h"
#include "train/parallel/connect.h"
#include "train/run/metrics_log.h"
#include "train/run/training_curve.h"

namespace vitsnna::cli {
namespace {

namespace fs = std::filesystem;

const std::vector<train::CurvePanel>& curve_panels() {
  static const std::vector<train::CurvePanel> panels = {
      {"loss and teacher entropy", {"loss", "teacher_entropy"}},
      {"KL(teacher | student)", {"kl"}},
      {"gradient norm", {"gradient_norm"}},
      {"centre norm", {"centre_norm"}},
      {"learning rate", {"learning_rate"}},
      {"weight decay", {"weight_decay"}},
      {"teacher momentum", {"teacher_momentum"}}};
  return panels;
}

/// Of one run: what is printed, logged and kept. Only rank 0 writes.
class RunFolder {
 public:
  RunFolder(const PretrainArguments& arguments, const train::RunConfig& config,
            train::Communicator& ranks, const Console& console)
      : path_(arguments.output), ranks_(ranks), console_(console) {
    const fs::path file = path_ / "config.json";
    const bool is_run = fs::exists(file);
    if (is_run && arguments.resume) {
      train::require_same(file, train::read_run_config(file), config, may_change_on_resume());
    } else if (is_run || has_entries()) {
      throw Error(fmt::format("{}: is {}", arguments.output,
                              is_run ? "a run already, --resume goes on with it"
                                     : "neither empty nor a run, an empty folder is wanted"));
    }
    ranks_.barrier();  // all have looked before one writes
    if (ranks_.rank() == 0 && !is_run) {
      fs::create_directories(path_);
      train::write_run_config(file, config);
    }
    ranks_.barrier();
    checkpoints_ = std::make_unique<train::CheckpointStore>(path_ / "checkpoints", arguments.keep);
    if (ranks_.rank() == 0) {
      remove_unfinished(path_);
      remove_unfinished(path_ / "checkpoints");
    }
  }

  /// Goes on from the newest whole checkpoint; from the start where there is none.
  void resume(train::Pretraining& run) {
    std::vector<std::string> problems;
    const auto newest = checkpoints_->newest(problems);
    for (const std::string& problem : problems) console_.warn(problem);
    train::require_equal_ranks(ranks_, "the newest checkpoint's step",
                               std::to_string(newest ? newest->steps : 0));
    if (newest) run.restore(*newest, checkpoints_->files().back().string());
    console_.note(fmt::format("{}: going on after step {}", path_.string(), run.done()));
  }

  void open_log(index_t steps) {
    if (ranks_.rank() == 0) {
      log_ = std::make_unique<train::MetricsLog>(path_ / "metrics.jsonl", steps);
    }
  }

  void log(index_t step, const std::map<std::string, double>& values) {
    if (log_) log_->append(step, values);
  }

  void save(const train::Pretraining& run) {
    const train::RunState state = run.state();
    if (ranks_.size() > 1) {
      std::string digests;
      for (const auto& [name, tensor] : state.tensors) digests += engine::sha256(tensor.bytes);
      train::require_equal_ranks(ranks_, "the SHA-256 of its tensors", digests);
    }
    if (ranks_.rank() != 0) return;
    // The teacher first: killed in between, the run comes by here again.
    model::save_checkpoint(path_ / "teacher.safetensors", run.teacher());
    checkpoints_->save(state);
    if (log_) {
      train::draw_training_curve(path_ / "metrics.jsonl", path_ / "curve.png", curve_panels());
    }
  }

  /// Saves what made the numbers of a step not finite, and says so.
  [[noreturn]] void fail(const train::Pretraining& run, const train::DinoReport& report) {
    const fs::path file =
        path_ / fmt::format("failed-step-{:09d}.rank{}.safetensors", run.done(), ranks_.rank());
    train::RunState state = run.state();
    train::Tensors tensors = std::move(state.tensors);
    tensors.merge(run.last_inputs());
    engine::write_safetensors(file, tensors, {{"step", std::to_string(run.done())}});
    throw Error(fmt::format(
        "step {}: the {} not finite{}; weights and inputs of the step are in {}, "
        "the last checkpoint is whole",
        run.done(), std::isfinite(report.loss) ? "gradients are" : "loss is",
        report.non_finite_rank > 0 ? fmt::format(" on rank {}", report.non_finite_rank) : "",
        file.string()));
  }

 private:
  /// Hidden ones aside: what a killed process left half written is one.
  bool has_entries() const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(path_, none)) {
      if (!entry.path().filename().string().starts_with(".")) return true;
    }
    return false;
  }

  /// What a killed process was writing (engine/io/atomic_file.h): as large as a checkpoint.
  static void remove_unfinished(const fs::path& folder) {
    std::vector<fs::path> unfinished;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(".") && name.ends_with(".tmp")) unfinished.push_back(entry.path());
    }
    for (const fs::path& file : unfinished) fs::remove(file);
  }

  fs::path path_;
  train::Communicator& ranks_;
  const Console& console_;
  std::unique_ptr<train::CheckpointStore> checkpoints_;
  std::unique_ptr<train::MetricsLog> log_;
};

/// Time since the run's last report, as rates.
class Speed {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Speed(const train::Pretraining& run) : run_(run), done_(run.done()) {}

  /// images/s, share of the time spent waiting for images, seconds to go; then counts anew.
  std::array<double, 3> take(index_t batch) {
    const double seconds = std::chrono::duration<double>(Clock::now() - since_).count();
    const double stall = run_.data().stall_seconds;
    const auto steps = static_cast<double>(run_.done() - done_);
    const double left = static_cast<double>(run_.steps() - run_.done());
    const std::array<double, 3> result = {steps * static_cast<double>(batch) / seconds,
                                          (stall - stall_) / seconds, left * seconds / steps};
    since_ = Clock::now();
    stall_ = stall;
    done_ = run_.done();
    return result;
  }

 private:
  const train::Pretraining& run_;
  Clock::time_point since_ = Clock::now();
  double stall_ = 0;
  index_t done_;
};

std::string duration_text(double seconds) {
  const auto all = static_cast<long>(seconds);
  return all < 3600 ? fmt::format("{}:{:02d}", all / 60, all % 60)
                    : fmt::format("{}:{:02d}:{:02d}", all / 3600, all / 60 % 60, all % 60);
}

/// `console` is silent on all ranks but the first.
void train_until_done(const PretrainArguments& arguments, train::Pretraining& run,
                      RunFolder& folder, const Console& console) {
  folder.open_log(run.done());
  if (run.done() == 0) folder.save(run);
  Speed speed(run);
  std::string warned;
  while (run.done() < run.steps()) {
    const train::DinoStep schedule = run.schedule();
    const train::DinoReport report = run.step(stop_requested());
    if (!report.finite) folder.fail(run, report);
    const index_t step = run.done();
    const bool last = step == run.steps() || report.stop;
    folder.log(step, {{"loss", report.loss},
                      {"teacher_entropy", report.teacher_entropy},
                      {"kl", report.divergence},
                      {"gradient_norm", report.gradient_norm},
                      {"centre_norm", report.centre_norm},
                      {"learning_rate", schedule.learning_rate},
                      {"weight_decay", schedule.weight_decay},
                      {"teacher_momentum", schedule.teacher_momentum}});
    const std::string warning =
        train::collapse_warning(report.teacher_entropy, arguments.options.head.out_dim);
    if (!warning.empty() && warned.empty()) {
      console.warn(fmt::format("step {}: {}", step, warning));
    }
    warned = warning;
    if (step % arguments.log_every == 0 || last) {
      const auto [images, stall, left] = speed.take(arguments.options.batch);
      console.note(fmt::format(
          "step {}/{}  epoch {}  loss {:.4f}  entropy {:.4f}  kl {:.4f}  "
          "gradient {:.3f}  centre {:.3f}  lr {:.2e}  {:.1f} images/s  "
          "data stall {:.0f}%  ETA {}",
          step, run.steps(), (step - 1) / run.steps_per_epoch(), report.loss,
          report.teacher_entropy, report.divergence, report.gradient_norm, report.centre_norm,
          schedule.learning_rate, images, 100 * stall, duration_text(left)));
    }
    if (step % arguments.checkpoint_every == 0 || last) folder.save(run);
    if (report.stop && step < run.steps()) {
      console.result(fmt::format("stopped by a signal after step {} of {}; --resume goes on", step,
                                 run.steps()));
      break;
    }
  }
  const std::string teacher = (fs::path(arguments.output) / "teacher.safetensors").string();
  if (console.json()) {
    write_stdout(
        json_text({{"steps_done", run.done()}, {"steps", run.steps()}, {"teacher", teacher}}));
  }
  if (run.done() < run.steps()) return;
  console.result(fmt::format("{} steps done: {}", run.steps(), teacher));
}

/// New weights as the teacher of a file would be: drawn on the device, read back.
model::Checkpoint random_backbone(const PretrainArguments& arguments, engine::Queue& queue) {
  model::Checkpoint checkpoint;
  checkpoint.path = arguments.model;
  checkpoint.format = "random";
  checkpoint.config = new_backbone(arguments);
  const model::Vit vit =
      model::Vit::random(queue, checkpoint.config, checkpoint.metadata,
                         *parse_random_model(arguments.model), engine::DType::f32);
  checkpoint.tensors = train::download(queue, vit.parameters());
  return checkpoint;
}

train::Dataset open_images(const PretrainArguments& arguments) {
  std::string split = arguments.split;
  const std::vector<std::string> splits = train::splits_of(arguments.data);
  if (split.empty() && std::find(splits.begin(), splits.end(), "train") != splits.end()) {
    split = "train";
  }
  return train::open_dataset(arguments.data, split);
}

void print_summary(const Console& console, const train::Dataset& dataset) {
  std::istringstream text(train::text_of(train::summarise({&dataset})));
  for (std::string line; std::getline(text, line);) console.note(line);
}

void pretrain(PretrainArguments arguments) {
  resolve(arguments);
  const std::unique_ptr<train::Communicator> ranks = train::connect();
  train::run_guarded(*ranks, [&] {
    Verbosity verbosity = arguments.run.verbosity;
    if (ranks->rank() != 0) verbosity = {true, false};
    const Console console(verbosity);
    request_stop_on_signals();
    const std::string device =
        train::device_of_rank(arguments.run.device, ranks->local_rank(), ranks->local_size(),
                              static_cast<int>(engine::find_gpus().names.size()));
    engine::Queue queue(engine::select_device(device), arguments.run.threads);
    if (queue.device().fell_back) {
      console.note(fmt::format("computing on the CPU: {}", queue.device().reason));
    }
    ranks->open(queue);
    train::PretrainOptions& options = arguments.options;
    if (!queue.backend().supports(options.precision)) {
      throw Error(fmt::format("--precision: bf16 is not offered on {}, fp32 wanted",
                              queue.device().description));
    }
    options.report_bad = [&](const std::string& text) { console.warn(text); };
    const train::Dataset dataset = open_images(arguments);
    print_summary(console, dataset);
    const model::Checkpoint backbone = parse_random_model(arguments.model)
                                           ? random_backbone(arguments, queue)
                                           : model::load_checkpoint(arguments.model);
    const train::RunConfig config = run_config(arguments);
    std::string digest;
    for (const auto& [name, value] : config) digest += name + "=" + train::text_of(value) + "\n";
    train::require_equal_ranks(*ranks, "the options", digest);
    train::Pretraining run(queue, *ranks, options, backbone, dataset, train::image_files());
    RunFolder folder(arguments, config, *ranks, console);
    if (arguments.resume) folder.resume(run);
    train_until_done(arguments, run, folder, console);
  });
}

}  // namespace

void add_pretrain(CLI::App& app) {
  auto arguments = std::make_shared<PretrainArguments>();
  CLI::App* command =
      app.add_subcommand("pretrain", "Train a backbone without labels (DINO) on a set of images");
  declare(*command, *arguments);
  command->callback([arguments] { pretrain(*arguments); });
}

}  // namespace vitsnna::cli
