// `vitsnna evaluate`: a model's decisions on a labelled set beside the truth.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_text.h"
#include "cli/label_report.h"
#include "cli/outputs.h"
#include "cli/pass_progress.h"
#include "cli/session.h"
#include "cli/training_data.h"
#include "cli/training_options.h"
#include "engine/io/atomic_file.h"
#include "explain/input_geometry.h"
#include "train/data/image_files.h"
#include "train/data/model_input.h"
#include "train/evaluation/features.h"
#include "train/supervised/finetuning.h"

namespace vitsnna::cli {
namespace {

struct EvaluateArguments {
  ModelArguments model;
  std::string data, split, size, output;
  bool tune_thresholds = false, force = false;
  ReadingArguments reading;
  RunArguments run;
};

/// --size, else what `predict` takes: the model's input_size, else its trained grid, and of a
/// square the centre that its crop_pct says. What goes into the model of it is returned.
explain::InputGeometry set_size(const EvaluateArguments& arguments, const Session& session,
                                train::FeatureOptions& options) {
  const model::VitConfig& config = session.config();
  const model::ModelMetadata& metadata = session.metadata();
  if (!arguments.size.empty()) {
    options.size = parse_extent("--size", arguments.size);
  } else {
    options.size = {config.trained_grid_height * config.patch_size,
                    config.trained_grid_width * config.patch_size};
    if (metadata.input_size)
      options.size = {metadata.input_size->first, metadata.input_size->second};
    options.crop_pct = metadata.crop_pct.value_or(explain::kDefaultCropPct);
  }
  explain::SizeOptions whole;
  whole.size = options.size;
  return explain::input_geometry(arguments.size.empty() ? arguments.model.model : "--size",
                                 options.size, whole, config, metadata);
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
  if (!arguments.output.empty()) check_output_file(arguments.output, arguments.force);
  const train::Dataset set = open_split(arguments.data, arguments.split, "val");
  require_labels(set);
  print_summary(console, {&set});
  Session session(arguments.model, arguments.run, console);
  session.require_head();
  require_same_labels(arguments, session, set);
  train::require_picture_channels(arguments.model.model, session.config());

  train::FeatureOptions options;
  const explain::InputGeometry input = set_size(arguments, session, options);
  if (const std::string note = input.note(); !note.empty()) console.note(note);
  options.decode_threads = arguments.reading.decode_threads;
  options.max_bad = arguments.reading.max_bad;
  PassProgress progress(!console.quiet());
  options.report_bad = [&](const std::string& text) {
    progress.clear();
    console.warn(text);
  };
  options.progress = [&](index_t done, index_t all) { progress.update(done, all); };
  const auto alone = train::single_process();
  const train::ImageFeatures found = train::cls_features(session.queue(), *alone, session.vit(),
                                                         set, train::image_files(), options);
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
      {"height", input.crop.height},
      {"width", input.crop.width},
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
  command->add_flag("--force", arguments->force, "Replace --output if it exists");
  declare(*command, "Reading", arguments->reading);
  declare(*command, arguments->run);
  command->callback([arguments] { evaluate(*arguments); });
}

}  // namespace vitsnna::cli
