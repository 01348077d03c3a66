// Names, draws and writes the maps of one input.
#include "cli/map_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/prediction.h"
#include "cli/stopwatch.h"
#include "explain/pictures/contact_sheet.h"
#include "explain/pictures/overlay.h"

namespace vitsnna::cli {
namespace {

// A page with more rows is unreadable on any screen, and its pictures would fill the memory.
constexpr std::size_t kRowsPerPage = 8;

}  // namespace

MapFiles::MapFiles(const ExplainArguments& arguments, const explain::ExplainRequest& request,
                   const Session& session)
    : arguments_(arguments), request_(request), session_(session) {}

std::size_t MapFiles::rows_per_page() { return kRowsPerPage; }

std::string MapFiles::base(const InputItem& item, index_t label, explain::Method method) const {
  return fmt::format("{}.{}.{}", item.stem, session_.names().file_part(label),
                     explain::name_of(method));
}

std::string MapFiles::sheet(const InputItem& item, std::size_t page, std::size_t pages) const {
  return pages == 1 ? fmt::format("{}.contact_sheet.png", item.stem)
                    : fmt::format("{}.contact_sheet_{}.png", item.stem, page + 1);
}

std::size_t MapFiles::pages(std::size_t labels) const {
  return request_.methods.size() < 2 ? 0 : (labels + kRowsPerPage - 1) / kRowsPerPage;
}

std::size_t MapFiles::most_labels() const {
  using Kind = explain::LabelSelection::Kind;
  if (request_.labels.kind == Kind::indices) return request_.labels.indices.size();
  const bool one = request_.labels.kind == Kind::predicted &&
                   session_.metadata().activation == model::Activation::softmax;
  return one ? 1 : static_cast<std::size_t>(session_.config().num_classes);
}

std::vector<std::string> MapFiles::names(const InputItem& item,
                                         const std::vector<index_t>& labels) const {
  std::vector<std::string> names;
  for (const index_t label : labels) {
    for (const explain::Method method : request_.methods) {
      names.push_back(base(item, label, method) + ".npy");
      names.push_back(base(item, label, method) + ".png");
    }
  }
  const std::size_t sheets = pages(labels.size());
  for (std::size_t page = 0; page < sheets; ++page) names.push_back(sheet(item, page, sheets));
  return names;
}

MapFiles::Added MapFiles::add(OutputGroup& group, const InputItem& item,
                              const explain::LoadedInput& input,
                              const explain::Explanation& explanation, engine::Queue& queue) const {
  Added added;
  const explain::OverlayOptions drawing = arguments_.drawing.resolve();
  const explain::Extent grid = {explanation.grid_height, explanation.grid_width};
  std::vector<explain::LabelledProbability> decision;
  for (const index_t index : reported_classes(explanation.probabilities, session_.metadata())) {
    decision.push_back(
        {session_.names().name(index),
         static_cast<double>(explanation.probabilities[static_cast<std::size_t>(index)])});
  }

  const std::size_t sheets = pages(explanation.labels.size());
  explain::ContactSheet empty;
  empty.title = std::filesystem::path(item.path).filename().string();
  if (item.item) empty.title += fmt::format(", item {}", *item.item);
  for (const explain::Method method : explanation.methods) {
    empty.columns.emplace_back(explain::name_of(method));
  }
  explain::ContactSheet page = empty;
  Stopwatch watch;
  for (std::size_t i = 0; i < explanation.labels.size(); ++i) {
    const index_t label = explanation.labels[i];
    added.maps.push_back(nlohmann::ordered_json::array());
    explain::ContactSheetRow row;
    row.label = session_.names().name(label);
    row.probability =
        static_cast<double>(explanation.probabilities[static_cast<std::size_t>(label)]);
    for (std::size_t j = 0; j < explanation.methods.size(); ++j) {
      const std::span<const float> map = explanation.map(i, j);
      const std::string name = base(item, label, explanation.methods[j]);
      watch.lap();
      explain::Image overlay =
          explain::render_overlay(map, grid, input.picture, drawing, queue.backend(), queue.raw());
      added.render_seconds += watch.lap();
      group.add_npy(name + ".npy", {grid.height, grid.width}, map);
      group.add_png(name + ".png", arguments_.draw_predictions
                                       ? explain::draw_predictions(overlay, decision)
                                       : overlay);
      added.write_seconds += watch.lap();
      const auto [low, high] = std::minmax_element(map.begin(), map.end());
      added.maps.back().push_back({{"method", explain::name_of(explanation.methods[j])},
                                   {"npy", name + ".npy"},
                                   {"png", name + ".png"},
                                   {"min", *low},
                                   {"max", *high}});
      if (sheets > 0) row.cells.push_back(std::move(overlay));
    }
    if (sheets == 0) continue;
    page.rows.push_back(std::move(row));
    if (page.rows.size() < kRowsPerPage && i + 1 < explanation.labels.size()) continue;
    page.input = input.picture;
    watch.lap();
    const explain::Image drawn = explain::draw_contact_sheet(page);
    added.render_seconds += watch.lap();
    added.contact_sheets.push_back(sheet(item, added.contact_sheets.size(), sheets));
    group.add_png(added.contact_sheets.back(), drawn);
    added.write_seconds += watch.lap();
    page = empty;
  }
  return added;
}

}  // namespace vitsnna::cli
