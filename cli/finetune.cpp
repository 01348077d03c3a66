// `vitsnna finetune`: a head for a set's labels, on a backbone that stands still or learns too.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/finetune_options.h"
#include "cli/finetune_run.h"
#include "cli/json_text.h"
#include "cli/labelled_sets.h"
#include "cli/pass_progress.h"
#include "cli/stop_request.h"
#include "cli/training_data.h"
#include "cli/training_process.h"
#include "train/data/image_files.h"
#include "train/parallel/connect.h"

namespace vitsnna::cli {
namespace {

RunFolder::Options folder_options(const FinetuneArguments& arguments) {
  RunFolder::Options options;
  options.path = arguments.output;
  options.resume = arguments.keeping.resume;
  options.keep = arguments.keeping.keep;
  options.may_change = finetune_may_change();
  options.curve = finetune_panels();
  return options;
}

void say_stopped(const Console& console, bool resuming) {
  console.result(
      resuming ? "stopped by a signal before the run went on; it is as it was"
               : "stopped by a signal before a step was taken; the same command starts again");
  if (console.json()) write_stdout(json_text({{"steps_done", nullptr}, {"steps", nullptr}}));
}

void finetune(const CLI::App& app, FinetuneArguments arguments) {
  resolve(app, arguments);
  const std::unique_ptr<train::Communicator> ranks = train::connect();
  train::run_guarded(*ranks, [&] {
    const Console console = console_of(arguments.run, *ranks);
    request_stop_on_signals();
    const auto queue = open_queue(arguments.run, *ranks, console);
    const LabelledSets sets = open_labelled_sets(arguments);
    print_summary(console, {&sets.train, &sets.validation});
    const model::Checkpoint model =
        model::load_checkpoint(arguments.model, arguments.checkpoint.resolve());
    resolve_with(model, sets.train, arguments);
    const train::RunConfig config = run_config(arguments, model.sha256, sets);
    train::require_equal_ranks(*ranks, "the options", train::text_of(config));
    RunFolder folder(folder_options(arguments), config, *ranks, console);

    train::FinetuneOptions& options = arguments.options;
    PassProgress progress(!console.quiet());
    options.report_bad = [&](const std::string& text) {
      progress.clear();
      console.warn(text);
    };
    options.progress = [&](index_t done, index_t all) { progress.update(done, all); };
    options.stop = stop_requested;
    if (!options.whole_model) {
      console.note(
          fmt::format("features of {} images, once", sets.train.size() + sets.validation.size()));
    }
    std::unique_ptr<train::Finetuning> run;
    try {
      run = std::make_unique<train::Finetuning>(*queue, *ranks, options, model, sets.train,
                                                sets.validation, train::image_files());
    } catch (const train::Stopped&) {
      progress.clear();
      return say_stopped(console, folder.is_run());
    }
    if (!run->has_new_head()) console.note("goes on with the model's own head");
    folder.create();
    FinetuneRun kept(arguments, *run, folder, *ranks, sets.train.label_names, console);
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
  command->callback([command, arguments] { finetune(*command, *arguments); });
}

}  // namespace vitsnna::cli
