// Step by step: monitors, nearest neighbours, checkpoints and the teacher.
#include "cli/pretrain_run.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/failed_step.h"
#include "cli/json_text.h"
#include "cli/stop_request.h"
#include "model/checkpoint.h"

namespace vitsnna::cli {

const std::vector<train::CurvePanel>& pretrain_panels() {
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

PretrainRun::PretrainRun(const PretrainArguments& arguments, train::Pretraining& run,
                         RunFolder& folder, NeighbourWatch* neighbours, train::Communicator& ranks,
                         const Console& console)
    : arguments_(arguments),
      run_(run),
      folder_(folder),
      neighbours_(neighbours),
      ranks_(ranks),
      console_(console) {}

void PretrainRun::resume() {
  const auto found = folder_.newest();
  if (!found) return;
  run_.restore(found->state, found->file);
  if (neighbours_) neighbours_->restore(found->state, found->file);
  pending_ = pending_of(found->state, found->file);
}

void PretrainRun::train_until_done() {
  folder_.open_log(run_.done() == 0 ? -1 : pending_ ? run_.done() - 1 : run_.done());
  bool stopped = false;
  try {
    train();
  } catch (const train::Stopped&) {  // while nearest neighbours were looked for
    stopped = true;
    save();
  }
  folder_.draw_curve();
  if (run_.done() < run_.steps() || stopped) {
    console_.result(fmt::format("stopped by a signal after step {} of {}; --resume goes on",
                                run_.done(), run_.steps()));
  }
  if (const index_t bad = run_.data().bad_images; bad > 0) {
    console_.warn(fmt::format("{} images of the set could not be read and were passed over", bad));
  }
  const std::string teacher = (folder_.path() / "teacher.safetensors").string();
  if (console_.json()) {
    write_stdout(
        json_text({{"steps_done", run_.done()}, {"steps", run_.steps()}, {"teacher", teacher}}));
  } else if (run_.done() == run_.steps() && !stopped) {
    console_.result(fmt::format("{} steps done: {}", run_.steps(), teacher));
  }
}

void PretrainRun::train() {
  if (run_.done() == 0) {
    if (neighbours_) folder_.log(0, evaluate());
    save();
  }
  speed_.emplace(arguments_.options.batch, run_.steps(), run_.done());
  if (pending_) end_step(Values(*pending_), true);
  while (run_.done() < run_.steps()) {
    if (!take_step()) break;
  }
}

/// False: a signal asks to stop.
bool PretrainRun::take_step() {
  const train::DinoStep schedule = run_.schedule();
  const train::DinoReport report = run_.step(stop_requested);
  if (!report.finite) fail_with_step(folder_.path(), ranks_, run_, report);
  const std::string warning =
      train::collapse_warning(report.teacher_entropy, arguments_.options.head.out_dim);
  if (!warning.empty() && warned_.empty()) {
    console_.warn(fmt::format("step {}: {}", run_.done(), warning));
  }
  warned_ = warning;
  if (run_.done() % arguments_.keeping.log_every == 0 || run_.done() == run_.steps() ||
      report.stop) {
    print(report, schedule);
  }
  end_step({{"loss", report.loss},
            {"teacher_entropy", report.teacher_entropy},
            {"kl", report.divergence},
            {"gradient_norm", report.gradient_norm},
            {"centre_norm", report.centre_norm},
            {"learning_rate", schedule.learning_rate},
            {"weight_decay", schedule.weight_decay},
            {"teacher_momentum", schedule.teacher_momentum}},
           report.stop);
  return !report.stop;
}

void PretrainRun::end_step(const Values& values, bool stops) {
  Values line = values;
  if (neighbours_ && neighbours_->due(run_)) {
    pending_ = values;
    speed_->leave_out([&] { line.merge(evaluate()); });
  }
  folder_.log(run_.done(), line);
  pending_.reset();
  const bool last = run_.done() == run_.steps() || stops;
  if (run_.done() % arguments_.keeping.checkpoint_every == 0 || last) save();
}

void PretrainRun::print(const train::DinoReport& report, const train::DinoStep& schedule) {
  const Speed::Rates rates = speed_->take(run_.done(), run_.data().stall_seconds).value();
  folder_.log_timing(run_.done(), rates.values());
  console_.note(
      fmt::format("step {}/{}  epoch {}  loss {:.4f}  entropy {:.4f}  kl {:.4f}  gradient {:.3f}  "
                  "centre {:.3f}  lr {:.2e}  {}",
                  run_.done(), run_.steps(), (run_.done() - 1) / run_.steps_per_epoch(),
                  report.loss, report.teacher_entropy, report.divergence, report.gradient_norm,
                  report.centre_norm, schedule.learning_rate, rates.text()));
}

/// Nearest neighbours' scores of the teacher; it is kept where it is the best so far.
PretrainRun::Values PretrainRun::evaluate() {
  const NeighbourWatch::Result result = neighbours_->measure(run_);
  console_.note(fmt::format("step {}: nearest neighbours: {}", run_.done(), result.text));
  if (result.is_best && folder_.writes()) {
    model::save_checkpoint(folder_.path() / "best.safetensors", run_.teacher());
  }
  return result.values;
}

void PretrainRun::save() {
  // The teacher first: killed in between, the run comes by here again.
  if (folder_.writes()) {
    model::save_checkpoint(folder_.path() / "teacher.safetensors", run_.teacher());
  }
  train::RunState state = run_.state();
  if (neighbours_) neighbours_->collect(state);
  if (pending_) keep_pending(state, *pending_);
  folder_.save(state);
}

}  // namespace vitsnna::cli
