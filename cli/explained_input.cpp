// Text and JSON of one explained input.
#include "cli/explained_input.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/prediction.h"

namespace vitsnna::cli {
namespace {

using nlohmann::ordered_json;

/// "ig accounts for 97.3% of ...": how far the steps taken are from the whole integral.
std::string completeness_text(const explain::Explanation::Completeness& completeness,
                              const std::string& label) {
  const std::string what =
      fmt::format("f(input) - f(baseline) = {:.4g} for {}", completeness.difference, label);
  if (completeness.difference == 0) {
    return fmt::format("ig sums to {:.4g}, where {}", completeness.attributed, what);
  }
  return fmt::format("ig accounts for {:.1f}% of {}",
                     100 * completeness.attributed / completeness.difference, what);
}

}  // namespace

void print_explained(const Console& console, const InputItem& item, const ExplainedInput& explained,
                     const MapFiles& files, const Session& session, std::size_t inputs,
                     double write_seconds) {
  const explain::Explanation& explanation = explained.explanation;
  const explain::Extent extent = explained.read.loaded.geometry.crop;
  const std::string count =
      inputs > 1 ? fmt::format("[{}/{}] ", explained.read.index + 1, inputs) : "";
  console.result(
      fmt::format("{}{}: {}x{}, {}x{} patches, {:.2f} s", count, item.text(), extent.height,
                  extent.width, explanation.grid_height, explanation.grid_width,
                  explained.read.hash_seconds + explained.compute_seconds + write_seconds));
  const bool one_method = explanation.methods.size() == 1;
  for (std::size_t i = 0; i < explanation.labels.size(); ++i) {
    const index_t label = explanation.labels[i];
    const std::string base = files.base(item, label, explanation.methods.front());
    const std::string file =
        one_method ? base + ".png" : base.substr(0, base.rfind('.')) + ".<method>.png";
    const std::string name = session.names().name(label);
    console.result(fmt::format(
        "  {:6.2f}%  {}{}  {}",
        100 * static_cast<double>(explanation.probabilities[static_cast<std::size_t>(label)]), name,
        name == std::to_string(label) ? "" : fmt::format(" ({})", label), file));
    if (i < explanation.completeness.size()) {
      console.result("           " + completeness_text(explanation.completeness[i], name));
    }
  }
}

ordered_json explained_json(const InputItem& item, const ExplainedInput& explained,
                            const MapFiles::Added& added, const Session& session,
                            double write_seconds) {
  const explain::LoadedInput& loaded = explained.read.loaded;
  const explain::Explanation& explanation = explained.explanation;
  const explain::Extent extent = loaded.geometry.crop;
  ordered_json json = {{"input", item.path}, {"item", nullptr}, {"stem", item.stem}};
  if (item.item) json["item"] = *item.item;
  json["sha256"] = explained.read.sha256;
  json["original_size"] = {loaded.original.height, loaded.original.width};
  json["resized_to"] = {loaded.geometry.resized.height, loaded.geometry.resized.width};
  json["crop"] = {{"top", loaded.geometry.crop_top},
                  {"left", loaded.geometry.crop_left},
                  {"height", extent.height},
                  {"width", extent.width}};
  json["grid"] = {explanation.grid_height, explanation.grid_width};
  json.update(prediction_json(explanation.logits, explanation.probabilities, session));
  json["explained"] = ordered_json::array();
  for (std::size_t i = 0; i < explanation.labels.size(); ++i) {
    const auto position = static_cast<std::size_t>(explanation.labels[i]);
    ordered_json one = {{"index", explanation.labels[i]},
                        {"label", session.names().name(explanation.labels[i])},
                        {"logit", explanation.logits[position]},
                        {"probability", explanation.probabilities[position]}};
    if (i < explanation.completeness.size()) {
      one["ig_completeness"] = {{"attributed", explanation.completeness[i].attributed},
                                {"difference", explanation.completeness[i].difference}};
    }
    one["maps"] = added.maps[i];
    json["explained"].push_back(std::move(one));
  }
  json["contact_sheets"] = added.contact_sheets;
  json["samples_at_a_time"] = explanation.samples_at_a_time;
  json["device_bytes"] = explanation.device_bytes;
  json["stages"]["decode"] = {{"seconds", explained.read.decode_seconds}};
  json["stages"]["hash"] = {{"seconds", explained.read.hash_seconds}};
  for (const auto& [stage, cost] : explanation.stages) {
    json["stages"][stage] = {{"seconds", cost.seconds}, {"flops", cost.flops}};
  }
  json["stages"]["render"] = {{"seconds", added.render_seconds}};
  json["stages"]["write"] = {{"seconds", added.write_seconds}};
  json["seconds"] = explained.read.decode_seconds + explained.read.hash_seconds +
                    explained.compute_seconds + write_seconds;
  return json;
}

}  // namespace vitsnna::cli
