// `vitsnna explain`: checks everything, computes the maps of each input while its neighbours are
// read and written, and writes the manifest last.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/build_info.h"
#include "cli/commands.h"
#include "cli/explain_options.h"
#include "cli/explained_input.h"
#include "cli/footprint.h"
#include "cli/inputs.h"
#include "cli/json_text.h"
#include "cli/map_files.h"
#include "cli/outputs.h"
#include "cli/process_memory.h"
#include "cli/progress.h"
#include "cli/stopwatch.h"
#include "engine/io/sha256.h"
#include "engine/pinned.h"
#include "engine/pipeline.h"

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
  ReadInput read(std::size_t index, engine::Queue& queue) const;
  ExplainedInput explain(ReadInput read, Progress& progress);
  ordered_json write(const ExplainedInput& explained, OutputGroup& group, engine::Queue& queue,
                     Progress& progress) const;
  /// Every input but its manifest entry's file: returns the group of the last one, not committed.
  std::unique_ptr<OutputGroup> explain_all(const OutputFolder& folder, ordered_json& inputs);

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

ReadInput ExplainRun::read(std::size_t index, engine::Queue& queue) const {
  ReadInput read;
  read.index = index;
  read.loaded = inputs_->load(index, queue);
  read.pixels = read.loaded.tensor.data();
  read.decode_seconds = inputs_->read_seconds(index);
  const Stopwatch watch;
  read.sha256 = engine::sha256_of_file(inputs_->item(index).path);
  read.hash_seconds = watch.seconds();
  return read;
}

ExplainedInput ExplainRun::explain(ReadInput read, Progress& progress) {
  const Stopwatch watch;
  const explain::Extent extent = read.loaded.geometry.crop;
  ExplainedInput explained;
  explained.explanation = explainer_->explain(
      {read.pixels, extent.height, extent.width}, request_.for_extent(session_, extent),
      [&](double fraction) { progress.update(read.index, fraction); });
  explained.compute_seconds = watch.seconds();
  explained.read = std::move(read);
  return explained;
}

ordered_json ExplainRun::write(const ExplainedInput& explained, OutputGroup& group,
                               engine::Queue& queue, Progress& progress) const {
  const InputItem& item = inputs_->item(explained.read.index);
  const Stopwatch watch;
  const MapFiles::Added added =
      files_->add(group, item, explained.read.loaded, explained.explanation, queue);
  const double seconds = watch.seconds();
  progress.print([&] {
    print_explained(console_, item, explained, *files_, session_, inputs_->count(), seconds);
  });
  return explained_json(item, explained, added, session_, seconds);
}

std::unique_ptr<OutputGroup> ExplainRun::explain_all(const OutputFolder& folder,
                                                     ordered_json& inputs) {
  const std::size_t count = inputs_->count();
  Progress progress(count, !console_.quiet());
  if (count == 1) {
    auto group = std::make_unique<OutputGroup>(folder);
    inputs.push_back(
        write(explain(read(0, session_.queue()), progress), *group, session_.queue(), progress));
    return group;
  }
  // Input k + 1 is read and input k - 1 drawn and written while input k is computed. Each side has
  // a queue of its own (on a GPU a stream; on the CPU one thread), and the device takes its
  // pictures from pinned memory, of which the next one's is filled meanwhile.
  const engine::Device& device = session_.queue().device();
  engine::Queue reading(device, 1), writing(device, 1);
  const bool pinned = device.backend->allocate_pinned != nullptr;
  engine::PinnedBuffer buffers[] = {engine::PinnedBuffer(*device.backend),
                                    engine::PinnedBuffer(*device.backend)};
  std::unique_ptr<OutputGroup> last;
  engine::Lane writer;
  engine::ReadAhead<ReadInput> reader(count, [&](std::size_t index) {
    ReadInput input = read(index, reading);
    if (!pinned) return input;
    std::vector<float>& tensor = input.loaded.tensor;
    const std::size_t bytes = tensor.size() * sizeof(float);
    void* memory = buffers[index % 2].at_least(static_cast<index_t>(bytes));
    std::memcpy(memory, tensor.data(), bytes);
    input.pixels = static_cast<const float*>(memory);
    std::vector<float>().swap(tensor);
    return input;
  });
  try {
    for (std::size_t k = 0; k < count; ++k) {
      auto explained = std::make_shared<ExplainedInput>(explain(reader.next(), progress));
      writer.start([&, explained] {
        auto group = std::make_unique<OutputGroup>(folder);
        inputs.push_back(write(*explained, *group, writing, progress));
        if (inputs.size() < count) {
          group->commit();
        } else {
          last = std::move(group);
        }
      });
    }
  } catch (...) {
    writer.finish();  // an input that was computed is written, and its error comes first
    throw;
  }
  writer.finish();
  return last;
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
  // The files of one input appear together, those of the last together with the manifest: a run on
  // one input leaves all of its files or none.
  const std::unique_ptr<OutputGroup> last = explain_all(folder, manifest["inputs"]);
  manifest["peak_memory_bytes"] = peak_resident_bytes();
  manifest["seconds"] = watch.seconds();
  last->add_text(kManifest, json_text(manifest, 2));
  last->commit();
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
