// `vitsnna pretrain`: DINO without labels, from a folder of images to a backbone.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_text.h"
#include "cli/neighbour_watch.h"
#include "cli/pretrain_options.h"
#include "cli/run_folder.h"
#include "cli/session.h"
#include "cli/stop_request.h"
#include "cli/training_data.h"
#include "engine/io/safetensors.h"
#include "train/data/image_files.h"
#include "train/dino/pretraining.h"
#include "train/parallel/connect.h"

namespace vitsnna::cli {
namespace {

namespace fs = std::filesystem;

const std::vector<train::CurvePanel>& curve_panels() {
  static const std::vector<train::CurvePanel> panels = {
      {"loss and teacher entropy", {"loss", "teacher_entropy"}},
      {"KL(teacher | student)", {"kl"}},
      {"gradient norm", {"gradient_norm"}},
      {"centre norm", {"centre_norm"}},
      {"mean AUC of nearest neighbours", {"knn_auc"}},
      {"learning rate", {"learning_rate"}},
      {"weight decay", {"weight_decay"}},
      {"teacher momentum", {"teacher_momentum"}}};
  return panels;
}

RunFolder::Options folder_options(const PretrainArguments& arguments) {
  RunFolder::Options options;
  options.path = arguments.output;
  options.resume = arguments.resume;
  options.keep = arguments.keep;
  options.may_change = pretrain_may_change();
  options.curve = curve_panels();
  return options;
}

/// Saves what made the numbers of a step not finite, and says so.
[[noreturn]] void fail(const fs::path& folder, int rank, const train::Pretraining& run,
                       const train::DinoReport& report) {
  const fs::path file =
      folder / fmt::format("failed-step-{:09d}.rank{}.safetensors", run.done(), rank);
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

/// A run in its folder, with what is printed, logged and kept of it. `console` is silent on all
/// ranks but the first.
class PretrainRun {
 public:
  PretrainRun(const PretrainArguments& arguments, train::Pretraining& run, RunFolder& folder,
              NeighbourWatch* neighbours, int rank, const Console& console)
      : arguments_(arguments),
        run_(run),
        folder_(folder),
        neighbours_(neighbours),
        rank_(rank),
        console_(console) {}

  void resume() {
    if (const auto found = folder_.newest()) {
      run_.restore(found->state, found->file);
      if (neighbours_) neighbours_->restore(found->state, found->file);
    }
  }

  void train_until_done() {
    folder_.open_log(run_.done());
    if (run_.done() == 0) {
      if (neighbours_) folder_.log(0, evaluate());
      save();
    }
    Speed speed(run_);
    while (run_.done() < run_.steps()) {
      if (!step(speed)) break;
    }
    const std::string teacher = (folder_.path() / "teacher.safetensors").string();
    if (console_.json()) {
      write_stdout(
          json_text({{"steps_done", run_.done()}, {"steps", run_.steps()}, {"teacher", teacher}}));
    }
    if (run_.done() < run_.steps()) return;
    console_.result(fmt::format("{} steps done: {}", run_.steps(), teacher));
  }

 private:
  /// False: a signal asks to stop.
  bool step(Speed& speed) {
    const train::DinoStep schedule = run_.schedule();
    const train::DinoReport report = run_.step(stop_requested());
    if (!report.finite) fail(folder_.path(), rank_, run_, report);
    const index_t step = run_.done();
    const bool last = step == run_.steps() || report.stop;
    std::map<std::string, double> values = {{"loss", report.loss},
                                            {"teacher_entropy", report.teacher_entropy},
                                            {"kl", report.divergence},
                                            {"gradient_norm", report.gradient_norm},
                                            {"centre_norm", report.centre_norm},
                                            {"learning_rate", schedule.learning_rate},
                                            {"weight_decay", schedule.weight_decay},
                                            {"teacher_momentum", schedule.teacher_momentum}};
    const std::string warning =
        train::collapse_warning(report.teacher_entropy, arguments_.options.head.out_dim);
    if (!warning.empty() && warned_.empty()) {
      console_.warn(fmt::format("step {}: {}", step, warning));
    }
    warned_ = warning;
    if (step % arguments_.log_every == 0 || last) print(report, schedule, speed);
    if (neighbours_ && neighbours_->due(run_)) values.merge(evaluate());
    folder_.log(step, values);
    if (step % arguments_.checkpoint_every == 0 || last) save();
    if (report.stop && step < run_.steps()) {
      console_.result(fmt::format("stopped by a signal after step {} of {}; --resume goes on", step,
                                  run_.steps()));
    }
    return !report.stop;
  }

  void print(const train::DinoReport& report, const train::DinoStep& schedule, Speed& speed) const {
    const auto [images, stall, left] = speed.take(arguments_.options.batch);
    console_.note(fmt::format(
        "step {}/{}  epoch {}  loss {:.4f}  entropy {:.4f}  kl {:.4f}  "
        "gradient {:.3f}  centre {:.3f}  lr {:.2e}  {:.1f} images/s  "
        "data stall {:.0f}%  ETA {}",
        run_.done(), run_.steps(), (run_.done() - 1) / run_.steps_per_epoch(), report.loss,
        report.teacher_entropy, report.divergence, report.gradient_norm, report.centre_norm,
        schedule.learning_rate, images, 100 * stall, duration_text(left)));
  }

  /// Nearest neighbours' scores of the teacher; it is kept where it is the best so far.
  std::map<std::string, double> evaluate() {
    const NeighbourWatch::Result result = neighbours_->measure(run_);
    console_.note(fmt::format("step {}: nearest neighbours: {}", run_.done(), result.text));
    if (result.is_best && folder_.writes()) {
      model::save_checkpoint(folder_.path() / "best.safetensors", run_.teacher());
    }
    return result.values;
  }

  void save() {
    // The teacher first: killed in between, the run comes by here again.
    if (folder_.writes()) {
      model::save_checkpoint(folder_.path() / "teacher.safetensors", run_.teacher());
    }
    train::RunState state = run_.state();
    if (neighbours_) neighbours_->collect(state);
    folder_.save(state);
  }

  const PretrainArguments& arguments_;
  train::Pretraining& run_;
  RunFolder& folder_;
  NeighbourWatch* neighbours_;  ///< null: none
  int rank_;
  const Console& console_;
  std::string warned_;
};

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

void pretrain(const CLI::App& app, PretrainArguments arguments) {
  resolve(app, arguments);
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
    const train::Dataset dataset = open_split(arguments.data, arguments.split, "train");
    print_summary(console, {&dataset});
    model::Checkpoint backbone = parse_random_model(arguments.model)
                                     ? random_backbone(arguments, queue)
                                     : model::load_checkpoint(arguments.model);
    const train::RunConfig config = run_config(arguments);
    std::string digest;
    for (const auto& [name, value] : config) digest += name + "=" + train::text_of(value) + "\n";
    train::require_equal_ranks(*ranks, "the options", digest);
    train::Pretraining run(queue, *ranks, options, backbone, dataset, train::image_files());
    backbone.tensors.clear();  // on the device now
    const auto neighbours = arguments.knn_every > 0
                                ? std::make_unique<NeighbourWatch>(arguments, queue, *ranks)
                                : nullptr;
    RunFolder folder(folder_options(arguments), config, *ranks, console);
    PretrainRun kept(arguments, run, folder, neighbours.get(), ranks->rank(), console);
    kept.resume();
    kept.train_until_done();
  });
}

}  // namespace

void add_pretrain(CLI::App& app) {
  auto arguments = std::make_shared<PretrainArguments>();
  CLI::App* command =
      app.add_subcommand("pretrain", "Train a backbone without labels (DINO) on a set of images");
  declare(*command, *arguments);
  command->callback([command, arguments] { pretrain(*command, *arguments); });
}

}  // namespace vitsnna::cli
