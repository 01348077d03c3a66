// The declarations of shared options, and their texts turned into values.
#include "cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string_view>

#include "cli/errors.h"
#include "engine/device.h"
#include "engine/io/printable.h"
#include "explain/pictures/colormaps.h"

namespace vitsnna::cli {
namespace {

/// The whole text as a number, or nothing.
template <class Number>
std::optional<Number> parse_all(std::string_view text) {
  Number value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<float> parse_numbers(const std::string& option, std::string_view text) {
  std::vector<float> numbers;
  std::string_view rest = text;
  while (true) {
    const std::size_t comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    const auto value = parse_all<float>(item);
    if (!value || !std::isfinite(*value)) {
      throw UsageError(
          fmt::format("{}: '{}' given, numbers separated by commas wanted", option, text));
    }
    numbers.push_back(*value);
    if (comma == std::string_view::npos) return numbers;
    rest.remove_prefix(comma + 1);
  }
}

std::array<float, 3> parse_triple(const std::string& option, const std::string& text) {
  const std::vector<float> numbers = parse_numbers(option, text);
  if (numbers.size() == 1) return {numbers[0], numbers[0], numbers[0]};
  if (numbers.size() != 3) {
    throw UsageError(fmt::format("{}: '{}' given, one number or three wanted", option, text));
  }
  return {numbers[0], numbers[1], numbers[2]};
}

/// One name a line; a line may end as Windows ends it, and the last may end without a newline.
std::vector<std::string> read_labels(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(fmt::format("{}: cannot be read (--labels)", path));
  std::vector<std::string> labels;
  std::string line;
  while (std::getline(file, line)) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!engine::is_utf8(line)) {
      throw Error(fmt::format("{}: line {} is not UTF-8 text, one label a line wanted", path,
                              labels.size() + 1));
    }
    labels.push_back(line);
  }
  if (file.bad()) throw Error(fmt::format("{}: cannot be read (--labels)", path));
  while (!labels.empty() && labels.back().empty()) labels.pop_back();
  return labels;
}

constexpr const char* kModelGroup = "Model";
constexpr const char* kInputGroup = "Input";
constexpr const char* kOutputGroup = "Output";
constexpr const char* kRunGroup = "Run";

}  // namespace

void choices(CLI::Option* option, const std::vector<std::string>& words) {
  const std::string list = fmt::format("{}", fmt::join(words, "|"));
  option->type_name(list);
  option->check(CLI::Validator(
      [words, list](const std::string& text) {
        if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
        return fmt::format("'{}' given, one of {} wanted", text, list);
      },
      ""));
}

void finite_between(CLI::Option* option, double low, double high) {
  option->check(CLI::Validator(
      [low, high](const std::string& text) {
        const auto value = parse_all<double>(text);
        if (value && *value >= low && *value <= high) return std::string();
        return fmt::format("'{}' given, a number from {} to {} wanted", text, low, high);
      },
      ""));
}

void whole_between(CLI::Option* option, index_t low, index_t high) {
  option->check(CLI::Validator(
      [low, high](const std::string& text) {
        const auto value = parse_all<index_t>(text);
        if (value && *value >= low && *value <= high) return std::string();
        return fmt::format("'{}' given, a whole number from {} to {} wanted", text, low, high);
      },
      ""));
}

model::CheckpointOptions CheckpointArguments::resolve() const {
  model::CheckpointOptions options;
  if (!part.empty()) {
    options.part = part == "student" ? model::Part::student : model::Part::teacher;
  }
  if (heads != 0) options.heads = heads;
  if (!head_file.empty()) options.head_file = head_file;
  return options;
}

void MetadataArguments::apply(const model::VitConfig& config,
                              model::ModelMetadata& metadata) const {
  const auto classes = static_cast<std::size_t>(config.num_classes);
  if (!mean.empty()) metadata.mean = parse_triple("--mean", mean);
  if (!deviation.empty()) {
    metadata.deviation = parse_triple("--std", deviation);
    for (const float value : metadata.deviation) {
      if (!(value > 0)) {
        throw UsageError(fmt::format("--std: '{}' given, numbers above 0 wanted", deviation));
      }
    }
  }
  if (!labels_file.empty()) {
    std::vector<std::string> labels = read_labels(labels_file);
    if (labels.size() != classes) {
      throw Error(fmt::format("{}: {} labels found, {} wanted, one a class", labels_file,
                              labels.size(), classes));
    }
    metadata.labels = std::move(labels);
  }
  if (!activation.empty()) {
    metadata.activation =
        activation == "sigmoid" ? model::Activation::sigmoid : model::Activation::softmax;
  }
  if (!thresholds.empty()) {
    std::vector<float> values = parse_numbers("--threshold", thresholds);
    for (const float value : values) {
      if (!(value >= 0 && value <= 1)) {
        throw UsageError(
            fmt::format("--threshold: '{}' given, probabilities in [0, 1] wanted", thresholds));
      }
    }
    if (values.size() == 1) values.assign(classes, values.front());
    if (values.size() != classes) {
      throw UsageError(fmt::format("--threshold: {} numbers given, one or {} wanted, one a class",
                                   values.size(), classes));
    }
    metadata.thresholds = std::move(values);
  }
  if (!input_size.empty()) {
    explain::SizeOptions options;
    try {
      explain::parse_crop(input_size, options);
    } catch (const Error&) {
      throw UsageError(fmt::format("--input-size: '{}' given, N or HxW wanted", input_size));
    }
    metadata.input_size = {options.crop->height, options.crop->width};
  }
  if (crop_pct != 0) metadata.crop_pct = crop_pct;
}

explain::SizeOptions InputArguments::resolve() const {
  explain::SizeOptions options;
  try {
    if (!size.empty()) explain::parse_size(size, options);
    if (!crop.empty()) explain::parse_crop(crop, options);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return options;
}

explain::OverlayOptions DrawingArguments::resolve() const {
  explain::OverlayOptions options;
  options.colormap = colormap;
  options.alpha = static_cast<float>(alpha);
  options.blend = blend == "add" ? kernels::Blend::add : kernels::Blend::blend;
  return options;
}

void declare_part_and_heads(CLI::App& app, CheckpointArguments& arguments) {
  choices(
      app.add_option("--part", arguments.part, "Part of a full DINO checkpoint (default: teacher)")
          ->group(kModelGroup),
      {"teacher", "student"});
  whole_between(app.add_option("--heads", arguments.heads,
                               "Attention heads (default: the file's metadata, else width / 64)")
                    ->type_name("N")
                    ->group(kModelGroup),
                1, 65536);
}

void declare(CLI::App& app, CheckpointArguments& arguments) {
  declare_part_and_heads(app, arguments);
  app.add_option("--head", arguments.head_file, "Checkpoint whose classification head to use")
      ->type_name("FILE")
      ->group(kModelGroup);
}

void declare(CLI::App& app, MetadataArguments& arguments, bool for_convert) {
  const auto add = [&](const char* name, std::string& text, const char* type, const char* help) {
    return app.add_option(name, text, help)->type_name(type)->group(kModelGroup);
  };
  add("--mean", arguments.mean, "A[,B,C]", "Mean of the pixels (default: metadata, ImageNet's)");
  add("--std", arguments.deviation, "A[,B,C]",
      "Standard deviation of the pixels (default: metadata, ImageNet's)");
  add("--labels", arguments.labels_file, "FILE", "Names of the classes, one a line");
  choices(add("--activation", arguments.activation, "",
              "Probabilities (default: metadata, sigmoid for 4 classes, else softmax)"),
          {"sigmoid", "softmax"});
  add("--threshold", arguments.thresholds, "P[,P...]",
      "Probability at which a sigmoid's class is predicted (default: metadata, 0.5)");
  if (!for_convert) return;
  add("--input-size", arguments.input_size, "HxW", "Size of the input, written as metadata");
  finite_between(app.add_option("--crop-pct", arguments.crop_pct,
                                "Share of the short side that the centre crop keeps, written as "
                                "metadata")
                     ->type_name("P")
                     ->group(kModelGroup),
                 1e-3, 1);
}

void declare(CLI::App& app, ModelArguments& arguments) {
  app.add_option("--model,-m", arguments.model,
                 "safetensors or .pth file, or random[:SEED] (untrained, for trying things out)")
      ->required()
      ->type_name("M")
      ->group(kModelGroup);
  declare(app, arguments.checkpoint);
  declare(app, arguments.metadata, false);
}

void declare(CLI::App& app, InputArguments& arguments) {
  app.add_option("INPUT", arguments.inputs,
                 "Images, folders of them, globs, or .npy tensors already normalised")
      ->required()
      ->type_name("");
  app.add_option("--size", arguments.size, "Resize to HxW, or the short side to N (short:N)")
      ->type_name("HxW|short:N")
      ->group(kInputGroup);
  app.add_option("--crop", arguments.crop, "Take the centre of the resized image")
      ->type_name("N|HxW")
      ->group(kInputGroup);
}

void declare(CLI::App& app, RunArguments& arguments) {
  choices(
      app.add_option("--precision", arguments.precision, "Of the matrix products (default: fp32)")
          ->group(kRunGroup),
      {"fp32", "bf16"});
  app.add_option("--device", arguments.device, "(default: auto)")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const bool indexed = text.rfind("cuda:", 0) == 0 && text.size() > 5 &&
                                 text.find_first_not_of("0123456789", 5) == std::string::npos;
            if (text == "auto" || text == "cpu" || text == "cuda" || indexed ||
                engine::is_test_device(text)) {
              return std::string();
            }
            return fmt::format("'{}' given, auto, cpu, cuda or cuda:<i> wanted", text);
          },
          ""))
      ->type_name("auto|cpu|cuda[:i]")
      ->group(kRunGroup);
  whole_between(app.add_option("--threads", arguments.threads,
                               "CPU threads (default: all there "
                               "are)")
                    ->type_name("N")
                    ->group(kRunGroup),
                1, 4096);
  app.add_flag("--quiet,-q", arguments.verbosity.quiet, "Say nothing but warnings and errors")
      ->group(kRunGroup);
  app.add_flag("--json", arguments.verbosity.json, "One JSON object on standard output")
      ->group(kRunGroup);
}

void declare(CLI::App& app, DrawingArguments& arguments) {
  choices(app.add_option("--colormap", arguments.colormap, "Colours of the maps (default: jet)")
              ->group(kOutputGroup),
          explain::colormap_names());
  finite_between(
      app.add_option("--alpha", arguments.alpha, "Share of the heat in an overlay (default: 0.5)")
          ->type_name("A")
          ->group(kOutputGroup),
      0, 1);
  choices(app.add_option("--blend", arguments.blend,
                         "blend: mix heat and image; add: their sum, rescaled, as in the paper "
                         "(default: blend)")
              ->group(kOutputGroup),
          {"blend", "add"});
}

void declare(CLI::App& app, OutputArguments& arguments) {
  app.add_option("--output,-o", arguments.folder, "Folder for the results, made if need be")
      ->required()
      ->type_name("DIR")
      ->group(kOutputGroup);
  app.add_flag("--force", arguments.force, "Replace files that exist")->group(kOutputGroup);
}

}  // namespace vitsnna::cli
