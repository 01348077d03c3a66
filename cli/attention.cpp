// `vitsnna attention`: where the CLS token of one block looks, head by head (Figure 9).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/outputs.h"
#include "cli/progress.h"
#include "explain/explainer.h"
#include "explain/mass_threshold.h"
#include "explain/pictures/contact_sheet.h"
#include "explain/pictures/overlay.h"

namespace vitsnna::cli {
namespace {

using nlohmann::ordered_json;

struct AttentionArguments {
  ModelArguments model;
  InputArguments input;
  RunArguments run;
  DrawingArguments drawing;
  OutputArguments output;
  index_t block = -1;         ///< -1: the last
  double mass_threshold = 0;  ///< 0: every token
};

/// One map of a block: a head's, or the mean over heads.
struct HeadMap {
  std::string name;  ///< "head3", "mean"
  std::vector<float> map;
};

/// `rows` (heads, 1 + patches) without the CLS column, and their mean.
std::vector<HeadMap> head_maps(const std::vector<float>& rows, index_t heads) {
  const auto tokens = rows.size() / static_cast<std::size_t>(heads);
  std::vector<HeadMap> maps;
  std::vector<float> mean(tokens - 1, 0.f);
  for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(head * tokens) + 1;
    maps.push_back(
        {fmt::format("head{}", head), {begin, begin + static_cast<std::ptrdiff_t>(tokens - 1)}});
    for (std::size_t i = 0; i < mean.size(); ++i) {
      mean[i] += maps.back().map[i] / static_cast<float>(heads);
    }
  }
  maps.push_back({"mean", std::move(mean)});
  return maps;
}

std::string base(const InputItem& item, index_t block, const std::string& map) {
  return fmt::format("{}.block{}.{}", item.stem, block, map);
}

std::vector<std::string> names(const InputItem& item, index_t block, index_t heads) {
  std::vector<std::string> names = {base(item, block, "contact_sheet") + ".png"};
  for (index_t head = 0; head <= heads; ++head) {
    const std::string map = head < heads ? fmt::format("head{}", head) : "mean";
    names.push_back(base(item, block, map) + ".npy");
    names.push_back(base(item, block, map) + ".png");
  }
  return names;
}

void attention(const AttentionArguments& arguments) {
  const Console console(arguments.run.verbosity);
  const explain::SizeOptions size = arguments.input.resolve();
  std::vector<InputItem> items = find_inputs(arguments.input);
  Session session(arguments.model, arguments.run, console);
  const model::VitConfig& config = session.config();
  const index_t block = arguments.block < 0 ? config.depth - 1 : arguments.block;
  if (block >= config.depth) {
    throw Error(
        fmt::format("--block: {} given, the model has blocks 0 to {}", block, config.depth - 1));
  }
  InputLoader inputs(std::move(items), size, session);
  OutputFolder folder(arguments.output.folder, arguments.output.force);
  for (std::size_t i = 0; i < inputs.count(); ++i) {
    for (const std::string& name : names(inputs.item(i), block, config.num_heads)) {
      folder.refuse_existing(name);
    }
  }
  folder.create();

  explain::OverlayOptions drawing = arguments.drawing.resolve();
  if (arguments.mass_threshold > 0) drawing.upsampling = kernels::Upsampling::nearest;
  explain::Explainer explainer(session.vit(), session.queue());
  Progress progress(inputs.count(), !console.quiet());
  ordered_json json = {{"inputs", ordered_json::array()}};
  for (std::size_t i = 0; i < inputs.count(); ++i) {
    const InputItem& item = inputs.item(i);
    const explain::LoadedInput input = inputs.load(i);
    const explain::Extent extent = input.geometry.crop;
    const explain::Extent grid = {extent.height / config.patch_size,
                                  extent.width / config.patch_size};
    const std::vector<HeadMap> maps = head_maps(
        explainer.cls_attention({input.tensor.data(), extent.height, extent.width}, block),
        config.num_heads);
    OutputGroup group(folder);
    ordered_json files = ordered_json::array();
    explain::ContactSheet sheet;
    sheet.title = std::filesystem::path(item.path).filename().string();
    sheet.input = input.picture;
    sheet.rows.push_back({fmt::format("block {}", block), {}, {}});
    for (const HeadMap& head : maps) {
      const std::string name = base(item, block, head.name);
      const std::vector<float> drawn = arguments.mass_threshold > 0
                                           ? explain::keep_mass(head.map, arguments.mass_threshold)
                                           : head.map;
      explain::Image overlay = explain::render_overlay(
          drawn, grid, input.picture, drawing, session.queue().backend(), session.queue().raw());
      group.add_npy(name + ".npy", {grid.height, grid.width}, head.map);
      group.add_png(name + ".png", overlay);
      files.push_back({{"map", head.name}, {"npy", name + ".npy"}, {"png", name + ".png"}});
      sheet.columns.push_back(head.name);
      sheet.rows.front().cells.push_back(std::move(overlay));
    }
    const std::string sheet_name = base(item, block, "contact_sheet") + ".png";
    group.add_png(sheet_name, explain::draw_contact_sheet(sheet));
    group.commit();
    progress.clear();
    if (!inputs.note(i).empty()) {
      console.note(fmt::format("{}: {}", item.text(), inputs.note(i)));
    }
    console.result(fmt::format("{}: {}x{} patches, {} heads and their mean: {}", item.text(),
                               grid.height, grid.width, config.num_heads, sheet_name));
    progress.update(i, 1);
    ordered_json one = {{"input", item.path}};
    if (item.item) one["item"] = *item.item;
    one["block"] = block;
    one["grid"] = {grid.height, grid.width};
    one["maps"] = std::move(files);
    one["contact_sheet"] = sheet_name;
    json["inputs"].push_back(std::move(one));
  }
  progress.clear();
  if (console.json()) write_stdout(json_text(json));
}

}  // namespace

void add_attention(CLI::App& app) {
  auto arguments = std::make_shared<AttentionArguments>();
  CLI::App* command = app.add_subcommand("attention", "Draw where the heads of a block look");
  declare(*command, arguments->model);
  declare(*command, arguments->input);
  declare(*command, arguments->output);
  declare(*command, arguments->drawing);
  declare(*command, arguments->run);
  constexpr const char* kGroup = "Attention";
  whole_between(
      command->add_option("--block", arguments->block, "Block, counted from 0 (default: the last)")
          ->type_name("L")
          ->group(kGroup),
      0, 65535);
  finite_between(command
                     ->add_option("--mass-threshold", arguments->mass_threshold,
                                  "Draw only the fewest tokens that hold this share of the "
                                  "attention")
                     ->type_name("T")
                     ->group(kGroup),
                 1e-9, 1);
  command->callback([arguments] { attention(*arguments); });
}

}  // namespace vitsnna::cli
