// `vitsnna evaluate`: a model's decisions on a labelled set beside the truth.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_text.h"
#include "cli/label_report.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/training_data.h"
#include "cli/training_options.h"
#include "engine/io/atomic_file.h"
#include "train/data/image_files.h"
#include "train/evaluation/features.h"
#include "train/supervised/finetuning.h"

namespace vitsnna::cli {
namespace {

struct EvaluateArguments {
  ModelArguments model;
  std::string data, split, size, output;
  bool tune_thresholds = false;
  int decode_threads = 2;
  double max_bad = .01;
  RunArguments run;
};

/// --size, else what the model says, else an error that says so.
engine::Extent size_of(const EvaluateArguments& arguments, const Session& session) {
  if (!arguments.size.empty()) return parse_extent("--size", arguments.size);
  if (const auto& size = session.metadata().input_size) return {size->first, size->second};
  throw UsageError(fmt::format("--size: {} has no input_size, HxW wanted", arguments.model.model));
}

void require_same_labels(const EvaluateArguments& arguments, const Session& session,
                         const train::Dataset& set) {
  if (session.metadata().activation != model::Activation::sigmoid) {
    throw Error(fmt::format("{}: chooses one class of {}, a multi-label head (sigmoid) wanted",
                            arguments.model.model, session.config().num_classes));
  }
  const auto& labels = session.metadata().labels;
  const bool same = labels.empty() ? session.config().num_classes == set.label_count()
                                   : labels == set.label_names;
  if (!same) {
    throw Error(fmt::format("{}: labels {}, those of {} ({}) wanted", arguments.model.model,
                            labels.empty() ? std::to_string(session.config().num_classes)
                                           : fmt::format("{}", fmt::join(labels, ", ")),
                            arguments.data, fmt::join(set.label_names, ", ")));
  }
}

void evaluate(const EvaluateArguments& arguments) {
  const Console console(arguments.run.verbosity);
  const train::Dataset set = open_split(arguments.data, arguments.split, "val");
  require_labels(set);
  print_summary(console, {&set});
  Session session(arguments.model, arguments.run, console);
  session.require_head();
  require_same_labels(arguments, session, set);

  train::FeatureOptions options;
  options.size = size_of(arguments, session);
  options.decode_threads = arguments.decode_threads;
  options.max_bad = arguments.max_bad;
  options.report_bad = [&](const std::string& text) { console.warn(text); };
  Progress progress(1, !console.quiet());
  options.progress = [&](index_t done, index_t all) {
    progress.update(0, static_cast<double>(done) / static_cast<double>(all));
  };
  const auto alone = train::single_process();
  const train::ImageFeatures found = train::cls_features(session.queue(), *alone, session.vit(),
                                                         set, train::image_files(), options);
  progress.clear();
  const train::Validation validation =
      train::validation_of(found.labels, {found.items, found.logits, found.targets});
  const LabelTable table =
      score_labels(set.label_names,
                   arguments.tune_thresholds ? train::tune_thresholds(validation.given())
                                             : session.metadata().thresholds,
                   validation.given());
  for (const std::string& line : text_of(table)) console.result(line);
  nlohmann::ordered_json json = {
      {"model", session.model_json()},
      {"device", session.device_json()},
      {"data", {{"path", set.path}, {"kind", set.kind}, {"split", set.split}}},
      {"height", options.size.height},
      {"width", options.size.width},
      {"images", found.items},
      {"unreadable", set.size() - found.items},
      {"loss", validation.loss}};
  json.update(json_of(table));
  const std::string text = json_text(json);
  if (!arguments.output.empty()) engine::write_file(arguments.output, text);
  if (console.json()) write_stdout(text);
}

}  // namespace

void add_evaluate(CLI::App& app) {
  auto arguments = std::make_shared<EvaluateArguments>();
  CLI::App* command =
      app.add_subcommand("evaluate", "Compare a model's decisions with a labelled set");
  declare(*command, arguments->model);
  command->add_option("--data", arguments->data, "A labelled set, as for finetune")
      ->required()
      ->type_name("PATH");
  command
      ->add_option("--split", arguments->split, "Of the set (default: val where there are splits)")
      ->type_name("NAME");
  command
      ->add_option(
          "--size", arguments->size,
          "Of images: the whole of them, or the centre where it is square (default: the model's)")
      ->type_name("HxW");
  command->add_flag("--tune-thresholds", arguments->tune_thresholds,
                    "Score at the thresholds with the best F1 on this very set");
  command->add_option("--output,-o", arguments->output, "A JSON file for the same numbers")
      ->type_name("FILE");
  OptionGroup reading(*command, "Reading");
  whole_between(
      command->add_option("--decode-threads", arguments->decode_threads, "That read images")
          ->type_name("N")
          ->group("Reading")
          ->capture_default_str(),
      1, 256);
  reading.number("--max-bad", arguments->max_bad, "Share of the images that may be unreadable", 0,
                 1);
  declare(*command, arguments->run);
  command->callback([arguments] { evaluate(*arguments); });
}

}  // namespace vitsnna::cli
