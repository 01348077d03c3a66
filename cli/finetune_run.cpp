// Epoch by epoch: steps, validation, the best and the last model.
#include "cli/finetune_run.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/json_text.h"
#include "cli/stop_request.h"
#include "kernels/error.h"

namespace vitsnna::cli {
namespace {

constexpr const char* kBest = "best_val_auc";

}  // namespace

const std::vector<train::CurvePanel>& finetune_panels() {
  static const std::vector<train::CurvePanel> panels = {
      {"loss", {"train_loss", "val_loss"}}, {"mean AUC (val)", {"val_auc"}},
      {"mean F1 (val)", {"val_f1"}},        {"mean accuracy (val)", {"val_accuracy"}},
      {"gradient norm", {"gradient_norm"}}, {"learning rate", {"learning_rate"}}};
  return panels;
}

FinetuneRun::FinetuneRun(const FinetuneArguments& arguments, train::Finetuning& run,
                         RunFolder& folder, train::Communicator& ranks,
                         std::vector<std::string> labels, const Console& console)
    : arguments_(arguments),
      run_(run),
      folder_(folder),
      ranks_(ranks),
      labels_(std::move(labels)),
      console_(console) {}

void FinetuneRun::resume() {
  const auto found = folder_.newest();
  if (!found) return;
  run_.restore(found->state, found->file);
  best_ = train::number_in(found->state, kBest, found->file);
  pending_ = pending_of(found->state, found->file);
}

void FinetuneRun::train_until_done() {
  folder_.open_log(run_.done() == 0 ? -1 : pending_ ? run_.done() - 1 : run_.done());
  if (run_.done() == 0) save();
  speed_.emplace(arguments_.options.batch, run_.steps(), run_.done());
  try {
    if (pending_) end_epoch(Values(*pending_));
    bool stopped = false;
    while (!stopped && run_.done() < run_.steps()) stopped = !take_step();
    if (stopped) {
      stop();
    } else {
      finish();
    }
  } catch (const train::Stopped&) {  // in the middle of a validation
    stop();
  }
  folder_.draw_curve();
}

/// False: a signal asks to stop.
bool FinetuneRun::take_step() {
  if (train::any_rank(ranks_, stop_requested())) return false;
  const double learning_rate = run_.schedule().learning_rate;
  const train::SupervisedReport report = run_.step();
  if (!report.finite) {
    throw Error(fmt::format(
        "step {}: the {} not finite; the last checkpoint is whole, another run with a lower --lr "
        "or with --clip may come further",
        run_.done() + 1, std::isfinite(report.loss) ? "gradients are" : "loss is"));
  }
  if (run_.epoch_ends()) {
    end_epoch({{"gradient_norm", report.gradient_norm}, {"learning_rate", learning_rate}});
  }
  return true;
}

void FinetuneRun::end_epoch(const Values& values) {
  pending_ = values;
  const index_t epoch = run_.done() / run_.steps_per_epoch();
  const bool last = run_.done() == run_.steps();
  const auto rates = speed_->take(run_.done(), run_.stall_seconds());
  train::Validation validation;
  speed_->leave_out([&] { validation = run_.validate(); });
  last_ = scores(validation);
  const train::LabelReport& report = last_->model;
  Values line = values;
  line.merge(Values{{"epoch", static_cast<double>(epoch)},
                    {"train_loss", run_.epoch_loss()},
                    {"val_loss", validation.loss},
                    {"val_auc", report.mean_auc},
                    {"val_f1", report.mean_f1},
                    {"val_accuracy", report.mean_accuracy}});
  for (std::size_t k = 0; k < labels_.size(); ++k) {
    line["val_auc_" + labels_[k]] = report.labels[k].auc;
    line["val_f1_" + labels_[k]] = report.labels[k].f1;
  }
  folder_.log(run_.done(), line);
  if (rates) folder_.log_timing(run_.done(), rates->values());
  pending_.reset();
  const bool is_best = report.mean_auc > best_;
  if (is_best) {
    best_ = report.mean_auc;
    write_model("best.safetensors", *last_);
  }
  if (epoch % arguments_.keeping.log_every == 0 || last) {
    console_.note(
        fmt::format("epoch {}/{}  loss {:.4f}  val loss {:.4f}  mean AUC {:.4f}{}  mean F1 {:.4f}  "
                    "accuracy {:.4f}{}",
                    epoch, arguments_.options.epochs, run_.epoch_loss(), validation.loss,
                    report.mean_auc, is_best ? " (best)" : "", report.mean_f1, report.mean_accuracy,
                    rates ? "  " + rates->text() : ""));
  }
  if (epoch % arguments_.keeping.checkpoint_every == 0 || last) save();
}

LabelTable FinetuneRun::scores(const train::Validation& validation) const {
  return score_labels(labels_,
                      arguments_.tune_thresholds ? train::tune_thresholds(validation.given())
                                                 : std::vector<float>(labels_.size(), .5f),
                      validation.given());
}

void FinetuneRun::write_model(const char* name, const LabelTable& table) {
  if (folder_.writes()) model::save_checkpoint(folder_.path() / name, run_.model(table.thresholds));
}

void FinetuneRun::save() {
  train::RunState state = run_.state();
  state.metadata[kBest] = fmt::format("{}", best_);
  if (pending_) keep_pending(state, *pending_);
  folder_.save(state);
}

void FinetuneRun::stop() {
  save();
  console_.result(fmt::format("stopped by a signal after step {} of {}; --resume goes on",
                              run_.done(), run_.steps()));
  print_json({});
}

void FinetuneRun::finish() {
  if (!last_) last_ = scores(run_.validate());
  write_model("last.safetensors", *last_);
  for (const std::string& line : text_of(*last_)) console_.result(line);
  const auto file = [&](const char* name) { return (folder_.path() / name).string(); };
  std::string best;
  if (best_ >= 0) {
    best = fmt::format("{} (best mean AUC {:.4f}), ", file("best.safetensors"), best_);
  }
  console_.result(fmt::format("{} epochs done: {}{}", arguments_.options.epochs, best,
                              file("last.safetensors")));
  print_json(json_of(*last_));
}

/// `last` is what validation says of the last model; null where the run was stopped.
void FinetuneRun::print_json(const nlohmann::ordered_json& last) const {
  if (!console_.json()) return;
  nlohmann::ordered_json json = {{"steps_done", run_.done()}, {"steps", run_.steps()}};
  if (best_ >= 0) {
    json["best"] = (folder_.path() / "best.safetensors").string();
    json["best_mean_auc"] = best_;
  }
  if (!last.is_null()) {
    json["last"] = (folder_.path() / "last.safetensors").string();
    json["validation"] = last;
  }
  write_stdout(json_text(json));
}

}  // namespace vitsnna::cli
