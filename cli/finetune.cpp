// `vitsnna finetune`: a head for a set's labels, on a backbone that stands still or learns too.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/finetune_options.h"
#include "cli/json_text.h"
#include "cli/label_report.h"
#include "cli/run_folder.h"
#include "cli/stop_request.h"
#include "cli/training_data.h"
#include "engine/queue.h"
#include "train/data/image_files.h"
#include "train/data/sources/sources.h"
#include "train/parallel/connect.h"
#include "train/supervised/finetuning.h"

namespace vitsnna::cli {
namespace {

constexpr const char* kBest = "best_val_auc";

const std::vector<train::CurvePanel>& curve_panels() {
  static const std::vector<train::CurvePanel> panels = {
      {"loss", {"train_loss", "val_loss"}}, {"mean AUC (val)", {"val_auc"}},
      {"mean F1 (val)", {"val_f1"}},        {"mean accuracy (val)", {"val_accuracy"}},
      {"gradient norm", {"gradient_norm"}}, {"learning rate", {"learning_rate"}}};
  return panels;
}

RunFolder::Options folder_options(const FinetuneArguments& arguments) {
  RunFolder::Options options;
  options.path = arguments.output;
  options.resume = arguments.resume;
  options.keep = arguments.keep;
  options.may_change = finetune_may_change();
  options.curve = curve_panels();
  return options;
}

/// Never what is learnt from: a set without splits needs another beside it.
train::Dataset open_validation(const FinetuneArguments& arguments) {
  if (!arguments.validation_data.empty()) {
    return open_split(arguments.validation_data, arguments.validation_split, "val");
  }
  const std::string split = arguments.validation_split.empty() ? "val" : arguments.validation_split;
  const std::vector<std::string> splits = train::splits_of(arguments.data);
  if (std::find(splits.begin(), splits.end(), split) == splits.end()) {
    throw Error(fmt::format("--val-data: wanted, as {} has no split {}", arguments.data, split));
  }
  return train::open_dataset(arguments.data, split);
}

/// Negatives over positives, by label.
std::vector<float> balanced_weights(const train::Dataset& set) {
  std::vector<float> weights;
  for (index_t label = 0; label < set.label_count(); ++label) {
    double positives = 0;
    for (index_t k = 0; k < set.size(); ++k) {
      positives += static_cast<double>(set.labels_of(k)[label]);
    }
    const double negatives = static_cast<double>(set.size()) - positives;
    if (positives <= 0 || negatives <= 0) {
      throw Error(fmt::format(
          "--positive-weights balanced: {}: label {} has {} positives in {} "
          "images, some of both wanted",
          set.path, set.label_names[static_cast<std::size_t>(label)], positives, set.size()));
    }
    weights.push_back(static_cast<float>(negatives / positives));
  }
  return weights;
}

/// A run in its folder, with what is printed, logged and kept of it. `console` is silent on all
/// ranks but the first.
class FinetuneRun {
 public:
  FinetuneRun(const FinetuneArguments& arguments, train::Finetuning& run, RunFolder& folder,
              train::Communicator& ranks, std::vector<std::string> labels, const Console& console)
      : arguments_(arguments),
        run_(run),
        folder_(folder),
        ranks_(ranks),
        labels_(std::move(labels)),
        console_(console) {}

  void resume() {
    const auto found = folder_.newest();
    if (!found) return;
    run_.restore(found->state, found->file);
    best_ = train::number_in(found->state, kBest, found->file);
  }

  void train_until_done() {
    folder_.open_log(run_.done());
    if (run_.done() == 0) save();
    while (run_.done() < run_.steps()) {
      const bool stop = train::any_rank(ranks_, stop_requested());
      if (stop) {
        save();
        console_.result(fmt::format("stopped by a signal after step {} of {}; --resume goes on",
                                    run_.done(), run_.steps()));
        return print_json({});
      }
      const double learning_rate = run_.schedule().learning_rate;
      const train::SupervisedReport report = run_.step();
      if (!report.finite) {
        throw Error(
            fmt::format("step {}: the {} not finite; the last checkpoint is whole, a lower "
                        "--lr or --clip may help",
                        run_.done(), std::isfinite(report.loss) ? "gradients are" : "loss is"));
      }
      if (run_.epoch_ends()) end_epoch(learning_rate, report);
    }
    finish();
  }

 private:
  void end_epoch(double learning_rate, const train::SupervisedReport& report) {
    const index_t epoch = run_.done() / run_.steps_per_epoch();
    const train::Validation validation = run_.validate();
    const LabelTable table = score_labels(labels_, thresholds(validation), validation.given());
    std::map<std::string, double> values = {
        {"epoch", static_cast<double>(epoch)},   {"train_loss", run_.epoch_loss()},
        {"gradient_norm", report.gradient_norm}, {"learning_rate", learning_rate},
        {"val_loss", validation.loss},           {"val_auc", table.model.mean_auc},
        {"val_f1", table.model.mean_f1},         {"val_accuracy", table.model.mean_accuracy}};
    for (std::size_t k = 0; k < labels_.size(); ++k) {
      values["val_auc_" + labels_[k]] = table.model.labels[k].auc;
      values["val_f1_" + labels_[k]] = table.model.labels[k].f1;
    }
    folder_.log(run_.done(), values);
    const bool is_best = table.model.mean_auc > best_;
    if (is_best) {
      best_ = table.model.mean_auc;
      write_model("best.safetensors", table);
    }
    const bool last = run_.done() == run_.steps();
    if (epoch % arguments_.log_every == 0 || last) {
      console_.note(fmt::format(
          "epoch {}/{}  loss {:.4f}  val loss {:.4f}  mean AUC {:.4f}{}  mean F1 {:.4f}  "
          "accuracy {:.4f}",
          epoch, arguments_.options.epochs, run_.epoch_loss(), validation.loss,
          table.model.mean_auc, is_best ? " (best)" : "", table.model.mean_f1,
          table.model.mean_accuracy));
    }
    if (epoch % arguments_.checkpoint_every == 0 || last) save();
  }

  std::vector<float> thresholds(const train::Validation& validation) const {
    return arguments_.tune_thresholds ? train::tune_thresholds(validation.given())
                                      : std::vector<float>(labels_.size(), .5f);
  }

  void write_model(const char* name, const LabelTable& table) {
    if (folder_.writes())
      model::save_checkpoint(folder_.path() / name, run_.model(table.thresholds));
  }

  void save() {
    train::RunState state = run_.state();
    state.metadata[kBest] = fmt::format("{}", best_);
    folder_.save(state);
  }

  void finish() {
    const train::Validation validation = run_.validate();
    const LabelTable table = score_labels(labels_, thresholds(validation), validation.given());
    write_model("last.safetensors", table);
    for (const std::string& line : text_of(table)) console_.result(line);
    console_.result(fmt::format("{} epochs done: {} (best mean AUC {:.4f}), {}",
                                arguments_.options.epochs,
                                (folder_.path() / "best.safetensors").string(), best_,
                                (folder_.path() / "last.safetensors").string()));
    print_json(json_of(table));
  }

  /// `last` is what validation says of the last model; empty where the run was stopped.
  void print_json(const nlohmann::ordered_json& last) const {
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

  const FinetuneArguments& arguments_;
  train::Finetuning& run_;
  RunFolder& folder_;
  train::Communicator& ranks_;
  std::vector<std::string> labels_;
  const Console& console_;
  double best_ = -1;
};

void finetune(FinetuneArguments arguments) {
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
    train::FinetuneOptions& options = arguments.options;
    if (!queue.backend().supports(options.precision)) {
      throw Error(fmt::format("--precision: bf16 is not offered on {}, fp32 wanted",
                              queue.device().description));
    }
    options.report_bad = [&](const std::string& text) { console.warn(text); };
    const train::Dataset set = open_split(arguments.data, arguments.split, "train");
    const train::Dataset validation = open_validation(arguments);
    require_labels(set);
    require_labels(validation);
    print_summary(console, {&set, &validation});
    if (arguments.positive_weights == "balanced") options.positive_weights = balanced_weights(set);
    const model::Checkpoint model =
        model::load_checkpoint(arguments.model, arguments.checkpoint.resolve());
    const train::RunConfig config = run_config(arguments, model.sha256);
    std::string digest;
    for (const auto& [name, value] : config) digest += name + "=" + train::text_of(value) + "\n";
    train::require_equal_ranks(*ranks, "the options", digest);
    RunFolder folder(folder_options(arguments), config, *ranks, console);
    if (!options.whole_model) {
      console.note(fmt::format("features of {} images, once", set.size() + validation.size()));
    }
    train::Finetuning run(queue, *ranks, options, model, set, validation, train::image_files());
    if (!run.has_new_head()) console.note("goes on with the model's own head");
    FinetuneRun kept(arguments, run, folder, *ranks, set.label_names, console);
    kept.resume();
    kept.train_until_done();
  });
}

}  // namespace

void add_finetune(CLI::App& app) {
  auto arguments = std::make_shared<FinetuneArguments>();
  CLI::App* command =
      app.add_subcommand("finetune", "Train a head, or a whole model, on a labelled set of images");
  declare(*command, *arguments);
  command->callback([arguments] { finetune(*arguments); });
}

}  // namespace vitsnna::cli
