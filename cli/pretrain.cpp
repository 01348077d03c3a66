// `vitsnna pretrain`: DINO without labels, from a folder of images to a backbone.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/failed_step.h"
#include "cli/pass_progress.h"
#include "cli/pretrain_options.h"
#include "cli/pretrain_run.h"
#include "cli/session.h"
#include "cli/stop_request.h"
#include "cli/training_data.h"
#include "cli/training_process.h"
#include "train/data/image_files.h"
#include "train/parallel/connect.h"

namespace vitsnna::cli {
namespace {

RunFolder::Options folder_options(const PretrainArguments& arguments) {
  RunFolder::Options options;
  options.path = arguments.output;
  options.resume = arguments.keeping.resume || !arguments.replay.empty();
  options.read_only = !arguments.replay.empty();
  options.keep = arguments.keeping.keep;
  options.may_change = pretrain_may_change();
  if (!parse_random_model(arguments.model)) options.may_change.insert("model");  // its SHA-256 says
  options.curve = pretrain_panels();
  return options;
}

/// New weights as the teacher of a file would be: drawn on the device, read back.
model::Checkpoint random_backbone(const PretrainArguments& arguments, engine::Queue& queue) {
  model::Checkpoint checkpoint;
  checkpoint.path = arguments.model;
  checkpoint.format = "random";
  checkpoint.config = new_backbone(arguments);
  // A model takes a square by its short side and its centre, any other size whole: say which.
  const engine::Extent size = arguments.options.crops.global;
  if (size.height != size.width) checkpoint.metadata.input_size = {size.height, size.width};
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
    const Console console = console_of(arguments.run, *ranks);
    request_stop_on_signals();
    const auto queue = open_queue(arguments.run, *ranks, console);
    PassProgress progress(!console.quiet());
    arguments.options.report_bad = [&](const std::string& text) {
      progress.clear();
      console.warn(text);
    };
    const train::Dataset dataset = open_split(arguments.data, arguments.split, "train");
    print_summary(console, {&dataset});
    model::Checkpoint backbone =
        parse_random_model(arguments.model)
            ? random_backbone(arguments, *queue)
            : model::load_checkpoint(arguments.model, arguments.checkpoint.resolve());
    const auto neighbours =
        arguments.knn_every > 0
            ? std::make_unique<NeighbourWatch>(arguments, backbone.config, *queue, *ranks, progress)
            : nullptr;
    const train::RunConfig config =
        run_config(arguments, backbone.sha256, dataset, neighbours.get());
    train::require_equal_ranks(*ranks, "the options", train::text_of(config));
    RunFolder folder(folder_options(arguments), config, *ranks, console);
    if (!arguments.replay.empty() && !folder.is_run()) {
      throw Error(fmt::format("{}: no run, the one whose step is to be taken again wanted",
                              arguments.output));
    }
    train::Pretraining run(*queue, *ranks, arguments.options, backbone, dataset,
                           train::image_files());
    backbone.tensors.clear();  // on the device now
    if (!arguments.replay.empty()) {
      return replay_failed_step(arguments.replay, *ranks, run, console);
    }
    folder.create();
    PretrainRun kept(arguments, run, folder, neighbours.get(), *ranks, console);
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
