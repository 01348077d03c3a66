// `vitsnna convert`: any checkpoint in, safetensors under canonical names out.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/outputs.h"
#include "cli/session.h"
#include "model/checkpoint.h"

namespace vitsnna::cli {
namespace {

namespace fs = std::filesystem;

struct ConvertArguments {
  std::string input, output;
  CheckpointArguments checkpoint;
  MetadataArguments metadata;
  Verbosity verbosity;
  bool force = false;
};

void refuse_output(const ConvertArguments& arguments) {
  std::error_code ignored;
  if (fs::equivalent(arguments.input, arguments.output, ignored)) {
    throw Error(fmt::format("{}: is the input too, another name wanted", arguments.output));
  }
  check_output_file(arguments.output, arguments.force);
}

void convert(const ConvertArguments& arguments) {
  const Console console(arguments.verbosity);
  refuse_output(arguments);
  model::Checkpoint checkpoint =
      model::load_checkpoint(arguments.input, arguments.checkpoint.resolve());
  arguments.metadata.apply(checkpoint.config, checkpoint.metadata);
  model::save_checkpoint(arguments.output, checkpoint);

  console.result(fmt::format("{} ({}) -> {} (safetensors): {} tensors, {} parameters{}",
                             arguments.input, checkpoint.format, arguments.output,
                             checkpoint.tensors.size(), checkpoint.parameters(),
                             checkpoint.config.has_head() ? "" : ", no head"));
  if (!checkpoint.left_out.empty()) {
    console.result(fmt::format("left out, which a model does not need: {} tensors",
                               checkpoint.left_out.size()));
    for (const std::string& name : checkpoint.left_out) console.result("  " + name);
  }
  if (arguments.verbosity.json) {
    write_stdout(json_text({{"input", arguments.input},
                            {"format", checkpoint.format},
                            {"sha256", checkpoint.sha256},
                            {"output", arguments.output},
                            {"tensors", checkpoint.tensors.size()},
                            {"parameters", checkpoint.parameters()},
                            {"left_out", checkpoint.left_out},
                            {"config", config_json(checkpoint.config)},
                            {"metadata", metadata_json(checkpoint.metadata)}}));
  }
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<ConvertArguments>();
  CLI::App* command = app.add_subcommand("convert", "Write any readable checkpoint as safetensors");
  command->add_option("IN", arguments->input, "safetensors or .pth")->required()->type_name("");
  command->add_option("OUT", arguments->output, "safetensors to write")->required()->type_name("");
  declare(*command, arguments->checkpoint);
  declare(*command, arguments->metadata, true);
  command->add_flag("--force", arguments->force, "Replace OUT if it exists");
  command->add_flag("--quiet,-q", arguments->verbosity.quiet, "Say nothing but errors");
  command->add_flag("--json", arguments->verbosity.json, "One JSON object on standard output");
  command->callback([arguments] { convert(*arguments); });
}

}  // namespace vitsnna::cli
