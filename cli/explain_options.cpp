// Declares the options of `explain`, reads the arrays they name, and checks them.
#include "cli/explain_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "cli/errors.h"
#include "cli/process_memory.h"
#include "engine/io/npy.h"
#include "engine/io/sha256.h"

namespace vitsnna::cli {
namespace {

using explain::Baseline;
using explain::Extent;

constexpr index_t kMostRepetitions = 1'000'000;

struct Array {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

Array read_array(const std::string& path, std::size_t rank) {
  const engine::HostTensor tensor = engine::read_npy(path);
  engine::require_float32(tensor, path);
  engine::require_rank(tensor, path, std::array{rank});
  engine::require_finite(tensor, path);
  return {tensor.shape, tensor.to_floats()};
}

void check_channels(const std::string& path, const std::vector<std::int64_t>& shape,
                    const model::VitConfig& config) {
  const std::int64_t channels = shape[shape.size() - 3];
  if (channels != config.channels) {
    throw Error(fmt::format("{}: {} channels found, {} wanted", path, channels, config.channels));
  }
}

void check_size(const std::string& path, const std::vector<std::int64_t>& shape,
                const std::string& input, Extent extent) {
  const Extent found = {shape[shape.size() - 2], shape[shape.size() - 1]};
  if (found == extent) return;
  throw Error(fmt::format("{}: {}x{} found, {}x{} wanted, the size of {}", path, found.height,
                          found.width, extent.height, extent.width, input));
}

}  // namespace

void declare(CLI::App& app, ExplainArguments& arguments) {
  declare(app, arguments.model);
  declare(app, arguments.input);
  constexpr const char* kGroup = "Explanation";
  const auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    return app.add_option(name, value, help)->type_name(type)->group(kGroup);
  };
  add("--method", arguments.methods, "M[,M...]",
      "rawatt, attgrad, attin, genericatt, attig, snna, rollout, gradient, attsg, inputgrad, ig, "
      "smoothgrad, several with commas, or all (default: snna)");
  add("--label", arguments.labels, "L[,L...]",
      "Classes to explain, by name or index, several with commas; or all; or predicted (the "
      "default)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  choices(add("--formulation", arguments.formulation, "",
              "paper: the equations as printed; authors: the code they released (default: paper)"),
          {"paper", "authors"});
  arguments.samples_option =
      add("--samples", arguments.samples, "N", "Noisy copies to average over (default: 5)");
  whole_between(arguments.samples_option, 1, kMostRepetitions);
  finite_between(add("--noise-level", arguments.noise_level, "S",
                     "Standard deviation of the noise over the input's range (default: 0.15)"),
                 0, 1e6);
  add("--noise", arguments.noise_file, "FILE",
      ".npy (samples, channels, height, width) added as it is, instead of drawn noise");
  // Checked as text: CLI11 2.1 takes -1 for the largest number.
  add("--seed", arguments.seed, "N", "Of the noise (default: 0)")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
            return digits ? std::string() : fmt::format("'{}' given, a whole number wanted", text);
          },
          ""));
  whole_between(add("--ig-steps", arguments.integration_steps, "N",
                    "Steps of integrated gradients (default: 20)"),
                1, kMostRepetitions);
  add("--baseline", arguments.baseline, "B",
      "Where integrated gradients start: zero, mean, black, or a .npy (channels, height, width) "
      "(default: zero)");
  declare(app, arguments.output);
  declare(app, arguments.drawing);
  app.add_flag("--draw-predictions", arguments.draw_predictions,
               "Write the predicted classes and their probabilities on the overlays")
      ->group("Output");
  declare(app, arguments.run);
  app.add_option("--memory-limit", arguments.memory_limit,
                 "Most memory for weights, activations and scratch, in bytes or with K, M, G")
      ->type_name("BYTES")
      ->group("Run");
  app.add_flag("--dry-run", arguments.dry_run,
               "Check everything, say what it would take in memory and operations, compute nothing")
      ->group("Run");
}

ResolvedRequest::ResolvedRequest(const ExplainArguments& arguments) : arguments_(arguments) {
  try {
    request_.methods = explain::parse_methods(arguments.methods);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  request_.formulation = arguments.formulation == "authors" ? explain::Formulation::authors
                                                            : explain::Formulation::paper;
  request_.samples = arguments.samples;
  request_.noise_level = arguments.noise_level;
  request_.integration_steps = arguments.integration_steps;
  request_.seed = arguments.seed;
  if (!arguments.memory_limit.empty()) {
    request_.memory_limit = parse_bytes("--memory-limit", arguments.memory_limit);
  }
  black_ = arguments.baseline == "black";
  if (arguments.baseline == "mean") {
    request_.baseline = Baseline::mean;
  } else if (arguments.baseline != "zero") {
    request_.baseline = Baseline::custom;
  }
}

void ResolvedRequest::fit_model(const Session& session) {
  session.require_head();
  request_.labels = session.names().select(arguments_.labels);
  if (!arguments_.noise_file.empty()) {
    Array noise = read_array(arguments_.noise_file, 4);
    check_channels(arguments_.noise_file, noise.shape, session.config());
    const index_t samples = noise.shape.front();
    if (samples < 1) {
      throw Error(fmt::format("{}: no sample found, at least one wanted", arguments_.noise_file));
    }
    if (arguments_.samples_option->count() > 0 && arguments_.samples != samples) {
      throw UsageError(fmt::format("--samples: {} given, but --noise {} holds {}",
                                   arguments_.samples, arguments_.noise_file, samples));
    }
    request_.samples = samples;
    noise_shape_ = std::move(noise.shape);
    noise_ = std::move(noise.values);
    request_.noise = noise_.data();
  }
  if (request_.baseline == Baseline::custom && !black_) {
    Array baseline = read_array(arguments_.baseline, 3);
    check_channels(arguments_.baseline, baseline.shape, session.config());
    baseline_shape_ = std::move(baseline.shape);
    baseline_ = std::move(baseline.values);
    request_.baseline_image = baseline_.data();
  }
}

void ResolvedRequest::check_extent(const std::string& input, Extent extent) const {
  if (!noise_shape_.empty()) check_size(arguments_.noise_file, noise_shape_, input, extent);
  if (!baseline_shape_.empty()) check_size(arguments_.baseline, baseline_shape_, input, extent);
}

const explain::ExplainRequest& ResolvedRequest::for_extent(const Session& session, Extent extent) {
  if (black_ && black_extent_ != extent) {
    // Black, normalised: (0 - mean) / std in every pixel of a channel.
    const model::ModelMetadata& metadata = session.metadata();
    baseline_.clear();
    for (index_t channel = 0; channel < session.config().channels; ++channel) {
      const auto c = static_cast<std::size_t>(std::min<index_t>(channel, 2));
      baseline_.insert(baseline_.end(), static_cast<std::size_t>(extent.area()),
                       -metadata.mean[c] / metadata.deviation[c]);
    }
    black_extent_ = extent;
    request_.baseline_image = baseline_.data();
  }
  return request_;
}

nlohmann::ordered_json ResolvedRequest::json() const {
  using nlohmann::ordered_json;
  ordered_json json;
  json["methods"] = ordered_json::array();
  for (const explain::Method method : request_.methods) {
    json["methods"].push_back(explain::name_of(method));
  }
  json["formulation"] = explain::name_of(request_.formulation);
  json["label"] =
      arguments_.labels.empty() ? std::vector<std::string>{"predicted"} : arguments_.labels;
  json["samples"] = request_.samples;
  json["noise_level"] = request_.noise_level;
  const auto named_file = [](const std::string& path) {
    return ordered_json{{"path", path}, {"sha256", engine::sha256_of_file(path)}};
  };
  json["noise"] = nullptr;
  if (!arguments_.noise_file.empty()) json["noise"] = named_file(arguments_.noise_file);
  json["ig_steps"] = request_.integration_steps;
  json["baseline"] = arguments_.baseline;
  if (!baseline_shape_.empty()) json["baseline"] = named_file(arguments_.baseline);
  json["seed"] = request_.seed;
  json["precision"] = arguments_.run.precision;
  json["size"] =
      arguments_.input.size.empty() ? ordered_json() : ordered_json(arguments_.input.size);
  json["crop"] =
      arguments_.input.crop.empty() ? ordered_json() : ordered_json(arguments_.input.crop);
  json["memory_limit_bytes"] =
      request_.memory_limit == 0 ? ordered_json() : ordered_json(request_.memory_limit);
  json["colormap"] = arguments_.drawing.colormap;
  json["alpha"] = arguments_.drawing.alpha;
  json["blend"] = arguments_.drawing.blend;
  json["draw_predictions"] = arguments_.draw_predictions;
  json["force"] = arguments_.output.force;
  return json;
}

}  // namespace vitsnna::cli
