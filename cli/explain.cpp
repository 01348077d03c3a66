// `vitsnna explain`: checks everything, computes the maps of each input, writes them, and the
// manifest last.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <utility>

#include "cli/build_info.h"
#include "cli/commands.h"
#include "cli/explain_options.h"
#include "cli/footprint.h"
#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/map_files.h"
#include "cli/outputs.h"
#include "cli/prediction.h"
#include "cli/process_memory.h"
#include "cli/progress.h"
#include "cli/stopwatch.h"
#include "engine/io/sha256.h"

namespace vitsnna::cli {
namespace {

using nlohmann::ordered_json;

constexpr const char* kManifest = "manifest.json";

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

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

/// One run of the command, from arguments to manifest.
class ExplainRun {
 public:
  ExplainRun(const ExplainArguments& arguments, const Console& console)
      : arguments_(arguments),
        console_(console),
        size_(arguments.input.resolve()),
        request_(arguments),
        items_(find_inputs(arguments.input)),
        session_(arguments.model, arguments.run, console) {
    request_.fit_model(session_);
    inputs_ = std::make_unique<InputLoader>(std::move(items_), size_, session_);
    explainer_ = std::make_unique<explain::Explainer>(session_.vit(), session_.queue());
    files_ = std::make_unique<MapFiles>(arguments_, request_.request(), session_);
    for (std::size_t i = 0; i < inputs_->count(); ++i) {
      request_.check_extent(inputs_->item(i).text(), inputs_->extent(i));
      if (!inputs_->note(i).empty()) {
        console_.note(fmt::format("{}: {}", inputs_->item(i).text(), inputs_->note(i)));
      }
    }
    plan_all();
  }

  void dry_run() const;
  void compute();

 private:
  struct Plan {
    explain::Extent extent;
    explain::ExplainPlan cost;
    std::int64_t peak_bytes = 0;
  };

  /// One plan a size; throws Error where the memory limit is too small for one of them.
  void plan_all();
  const Plan& plan_of(explain::Extent extent) const;
  void refuse_existing(const OutputFolder& folder);
  ordered_json explain_input(std::size_t index, OutputGroup& group, Progress& progress);
  void print(std::size_t index, const explain::Explanation& explanation, double seconds) const;

  const ExplainArguments& arguments_;
  const Console& console_;
  explain::SizeOptions size_;
  ResolvedRequest request_;
  std::vector<InputItem> items_;
  Session session_;
  std::unique_ptr<InputLoader> inputs_;
  std::unique_ptr<explain::Explainer> explainer_;
  std::unique_ptr<MapFiles> files_;
  std::vector<Plan> plans_;
};

void ExplainRun::plan_all() {
  for (std::size_t i = 0; i < inputs_->count(); ++i) {
    const explain::Extent extent = inputs_->extent(i);
    if (std::any_of(plans_.begin(), plans_.end(),
                    [&](const Plan& plan) { return plan.extent == extent; })) {
      continue;
    }
    Plan plan;
    plan.extent = extent;
    plan.cost =
        explainer_->plan(extent.height, extent.width, request_.for_extent(session_, extent));
    plan.peak_bytes = predicted_peak_bytes(plan.cost, extent, files_->most_labels(),
                                           request_.request().methods.size(), session_);
    plans_.push_back(plan);
  }
}

const ExplainRun::Plan& ExplainRun::plan_of(explain::Extent extent) const {
  return *std::find_if(plans_.begin(), plans_.end(),
                       [&](const Plan& plan) { return plan.extent == extent; });
}

void ExplainRun::dry_run() const {
  ordered_json json = {{"dry_run", true}, {"inputs", ordered_json::array()}};
  double flops = 0;
  std::int64_t peak = 0;
  for (std::size_t i = 0; i < inputs_->count(); ++i) {
    const Plan& plan = plan_of(inputs_->extent(i));
    flops += plan.cost.flops;
    peak = std::max(peak, plan.peak_bytes);
    console_.result(fmt::format(
        "{}: {}x{}, {}, {} of device memory, {} noise sample{} at a time", inputs_->item(i).text(),
        plan.extent.height, plan.extent.width, flops_text(plan.cost.flops),
        bytes_text(static_cast<double>(plan.cost.device_bytes())), plan.cost.samples_at_a_time,
        plan.cost.samples_at_a_time == 1 ? "" : "s"));
    ordered_json one = {{"input", inputs_->item(i).path}};
    if (inputs_->item(i).item) one["item"] = *inputs_->item(i).item;
    one["height"] = plan.extent.height;
    one["width"] = plan.extent.width;
    one["flops"] = plan.cost.flops;
    one["device_bytes"] = plan.cost.device_bytes();
    one["samples_at_a_time"] = plan.cost.samples_at_a_time;
    json["inputs"].push_back(std::move(one));
  }
  json["flops"] = flops;
  json["peak_memory_bytes"] = peak;
  console_.result(fmt::format("in all {}; the process takes {} at its peak", flops_text(flops),
                              bytes_text(static_cast<double>(peak))));
  if (console_.json()) write_stdout(json_text(json));
}

void ExplainRun::refuse_existing(const OutputFolder& folder) {
  using Kind = explain::LabelSelection::Kind;
  folder.refuse_existing(kManifest);
  const explain::LabelSelection& selection = request_.request().labels;
  std::vector<index_t> labels = selection.indices;
  if (selection.kind != Kind::indices) {
    labels.clear();
    for (index_t i = 0; i < session_.config().num_classes; ++i) labels.push_back(i);
  }
  for (std::size_t i = 0; i < inputs_->count(); ++i) {
    const InputItem& item = inputs_->item(i);
    std::vector<index_t> chosen = labels;
    if (selection.kind == Kind::predicted) {
      // Which names will be written is known only after a prediction: it is made here only where a
      // file is in the folder that might be in the way.
      const std::vector<std::string> candidates = files_->names(item, labels);
      if (std::none_of(candidates.begin(), candidates.end(),
                       [&](const std::string& name) { return folder.had(name); })) {
        if (files_->pages(1) > 0) folder.refuse_existing(files_->sheet(item, 0, 1));
        continue;
      }
      const explain::LoadedInput input = inputs_->peek(i);
      const explain::Extent extent = input.geometry.crop;
      chosen = explain::predicted_labels(
          explainer_->predict({input.tensor.data(), extent.height, extent.width}),
          session_.metadata());
    }
    for (const std::string& name : files_->names(item, chosen)) folder.refuse_existing(name);
  }
}

void ExplainRun::print(std::size_t index, const explain::Explanation& explanation,
                       double seconds) const {
  const InputItem& item = inputs_->item(index);
  const std::string count =
      inputs_->count() > 1 ? fmt::format("[{}/{}] ", index + 1, inputs_->count()) : "";
  console_.result(fmt::format("{}{}: {}x{}, {}x{} patches, {:.2f} s", count, item.text(),
                              inputs_->extent(index).height, inputs_->extent(index).width,
                              explanation.grid_height, explanation.grid_width, seconds));
  const bool one_method = explanation.methods.size() == 1;
  for (std::size_t i = 0; i < explanation.labels.size(); ++i) {
    const index_t label = explanation.labels[i];
    const std::string base = files_->base(item, label, explanation.methods.front());
    const std::string file =
        one_method ? base + ".png" : base.substr(0, base.rfind('.')) + ".<method>.png";
    const std::string name = session_.names().name(label);
    console_.result(fmt::format(
        "  {:6.2f}%  {}{}  {}",
        100 * static_cast<double>(explanation.probabilities[static_cast<std::size_t>(label)]), name,
        name == std::to_string(label) ? "" : fmt::format(" ({})", label), file));
    if (i < explanation.completeness.size()) {
      console_.result("           " + completeness_text(explanation.completeness[i], name));
    }
  }
}

ordered_json ExplainRun::explain_input(std::size_t index, OutputGroup& group, Progress& progress) {
  const InputItem& item = inputs_->item(index);
  Stopwatch total, watch;
  const explain::LoadedInput input = inputs_->load(index);
  const double decode_seconds = inputs_->read_seconds(index);
  watch.lap();
  const std::string sha256 = engine::sha256_of_file(item.path);
  const double hash_seconds = watch.lap();
  const explain::Extent extent = input.geometry.crop;
  const explain::Explanation explanation = explainer_->explain(
      {input.tensor.data(), extent.height, extent.width}, request_.for_extent(session_, extent),
      [&](double fraction) { progress.update(index, fraction); });
  const MapFiles::Added added = files_->add(group, item, input, explanation, session_);
  progress.clear();
  print(index, explanation, total.seconds());

  ordered_json json = {{"input", item.path}, {"item", nullptr}, {"stem", item.stem}};
  if (item.item) json["item"] = *item.item;
  json["sha256"] = sha256;
  json["original_size"] = {input.original.height, input.original.width};
  json["resized_to"] = {input.geometry.resized.height, input.geometry.resized.width};
  json["crop"] = {{"top", input.geometry.crop_top},
                  {"left", input.geometry.crop_left},
                  {"height", extent.height},
                  {"width", extent.width}};
  json["grid"] = {explanation.grid_height, explanation.grid_width};
  json.update(prediction_json(explanation.logits, explanation.probabilities, session_));
  json["explained"] = ordered_json::array();
  for (std::size_t i = 0; i < explanation.labels.size(); ++i) {
    const auto position = static_cast<std::size_t>(explanation.labels[i]);
    ordered_json one = {{"index", explanation.labels[i]},
                        {"label", session_.names().name(explanation.labels[i])},
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
  json["stages"]["decode"] = {{"seconds", decode_seconds}};
  json["stages"]["hash"] = {{"seconds", hash_seconds}};
  for (const auto& [stage, cost] : explanation.stages) {
    json["stages"][stage] = {{"seconds", cost.seconds}, {"flops", cost.flops}};
  }
  json["stages"]["render"] = {{"seconds", added.render_seconds}};
  json["stages"]["write"] = {{"seconds", added.write_seconds}};
  json["seconds"] = total.seconds() + decode_seconds;
  return json;
}

void ExplainRun::compute() {
  Stopwatch watch;
  const std::string started = utc_now();
  OutputFolder folder(arguments_.output.folder, arguments_.output.force);
  refuse_existing(folder);
  folder.create();

  ordered_json manifest = {{"vitsnna", build_json()}, {"command", "explain"}, {"started", started}};
  manifest["model"] = session_.model_json();
  manifest["device"] = session_.device_json();
  manifest["options"] = request_.json();
  manifest["inputs"] = ordered_json::array();
  Progress progress(inputs_->count(), !console_.quiet());
  for (std::size_t i = 0; i < inputs_->count(); ++i) {
    // The files of one input appear together, those of the last together with the manifest: a run
    // on one input leaves all of its files or none.
    OutputGroup group(folder);
    manifest["inputs"].push_back(explain_input(i, group, progress));
    if (i + 1 == inputs_->count()) {
      manifest["peak_memory_bytes"] = peak_resident_bytes();
      manifest["seconds"] = watch.seconds();
      group.add_text(kManifest, json_text(manifest, 2));
    }
    group.commit();
  }
  if (console_.json()) write_stdout(json_text(manifest));
}

void explain_command(const ExplainArguments& arguments) {
  const Console console(arguments.run.verbosity);
  ExplainRun run(arguments, console);
  if (arguments.dry_run) {
    run.dry_run();
  } else {
    run.compute();
  }
}

}  // namespace

void add_explain(CLI::App& app) {
  auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* command = app.add_subcommand("explain", "Draw why the model decided so");
  declare(*command, *arguments);
  command->callback([arguments] { explain_command(*arguments); });
}

}  // namespace vitsnna::cli
