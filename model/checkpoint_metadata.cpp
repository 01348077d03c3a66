// Parsing of metadata values; every one is a short string that a person may have typed.
#include "model/checkpoint_metadata.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::model {

using engine::printable;

namespace {

// One value, and how to complain about it.
struct Value {
  const std::string& path;
  std::string key;
  std::string text;

  [[noreturn]] void fail(const std::string& wanted) const {
    throw Error(fmt::format("{}: metadata '{}' is '{}', {} wanted", printable(path, 1000), key,
                            printable(text, 80), wanted));
  }
};

std::optional<Value> find(const std::string& path, const StringMap& text, const char* key) {
  const auto found = text.find(key);
  if (found == text.end()) return {};
  return Value{path, key, found->second};
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename Number>
std::optional<Number> number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(value)) return {};
  }
  return value;
}

std::optional<std::vector<float>> numbers(std::string_view text) {
  std::vector<float> values;
  for (const std::string_view part : split(text, ',')) {
    const auto value = number<float>(part);
    if (!value) return {};
    values.push_back(*value);
  }
  return values;
}

std::array<float, 3> three(const Value& value) {
  const auto found = numbers(value.text);
  if (!found || (found->size() != 1 && found->size() != 3)) {
    value.fail("one number or three, separated by commas, were");
  }
  if (found->size() == 1) return {(*found)[0], (*found)[0], (*found)[0]};
  return {(*found)[0], (*found)[1], (*found)[2]};
}

// A JSON array of strings, lines, or names separated by commas.
std::vector<std::string> parse_labels(const Value& value, index_t num_classes) {
  std::vector<std::string> labels;
  const std::string_view text = trimmed(value.text);
  if (text.starts_with('[')) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_array()) value.fail("a JSON array of strings was");
    for (const auto& label : json) {
      if (!label.is_string()) value.fail("a JSON array of strings was");
      labels.push_back(label.get<std::string>());
    }
  } else {
    const char separator = text.find('\n') != std::string_view::npos ? '\n' : ',';
    for (const std::string_view label : split(text, separator)) labels.emplace_back(label);
  }
  for (const std::string& label : labels) {
    if (trimmed(label).empty()) value.fail("a name for every class was");
  }
  if (static_cast<index_t>(labels.size()) != num_classes) {
    value.fail(fmt::format("{} names (found {}) were", num_classes, labels.size()));
  }
  return labels;
}

std::vector<float> parse_thresholds(const Value& value, index_t num_classes) {
  auto found = numbers(value.text);
  const auto count = found ? static_cast<index_t>(found->size()) : 0;
  if (count != 1 && count != num_classes) {
    value.fail(fmt::format("one probability or {}, separated by commas, were", num_classes));
  }
  for (const float threshold : *found) {
    if (threshold < 0.0f || threshold > 1.0f) value.fail("probabilities from 0 to 1 were");
  }
  if (count == 1) found->resize(static_cast<std::size_t>(num_classes), found->front());
  return *found;
}

std::optional<std::pair<index_t, index_t>> two_extents(const std::optional<Value>& value,
                                                       const char* wanted) {
  if (!value) return {};
  const auto sides = split(value->text, 'x');
  constexpr index_t largest = 1'000'000;
  std::optional<index_t> extents[2];
  for (std::size_t i = 0; i < 2 && sides.size() == 2; ++i) {
    extents[i] = number<index_t>(sides[i]);
    if (extents[i] && (*extents[i] < 1 || *extents[i] > largest)) extents[i].reset();
  }
  if (!extents[0] || !extents[1]) value->fail(wanted);
  return std::pair(*extents[0], *extents[1]);
}

}  // namespace

std::optional<index_t> parse_heads(const std::string& path, const StringMap& text) {
  const auto value = find(path, text, "heads");
  if (!value) return {};
  const auto heads = number<index_t>(trimmed(value->text));
  if (!heads || *heads < 1) value->fail("a whole number from 1 was");
  return heads;
}

std::optional<std::pair<index_t, index_t>> parse_input_size(const std::string& path,
                                                            const StringMap& text) {
  return two_extents(find(path, text, "input_size"), "HEIGHTxWIDTH in pixels was");
}

std::optional<std::pair<index_t, index_t>> parse_trained_grid(const std::string& path,
                                                              const StringMap& text) {
  return two_extents(find(path, text, "trained_grid"), "ROWSxCOLUMNS of patches was");
}

ModelMetadata parse_metadata(const std::string& path, const StringMap& text, index_t num_classes) {
  ModelMetadata metadata;
  if (const auto value = find(path, text, "mean")) metadata.mean = three(*value);
  if (const auto value = find(path, text, "std")) {
    metadata.deviation = three(*value);
    for (const float deviation : metadata.deviation) {
      if (deviation <= 0.0f) value->fail("numbers above 0 were");
    }
  }
  metadata.input_size = parse_input_size(path, text);
  if (const auto value = find(path, text, "crop_pct")) {
    metadata.crop_pct = number<double>(trimmed(value->text));
    if (!metadata.crop_pct || *metadata.crop_pct <= 0.0 || *metadata.crop_pct > 1.0) {
      value->fail("a number above 0, up to 1, was");
    }
  }
  metadata.activation = num_classes == 4 ? Activation::sigmoid : Activation::softmax;
  if (const auto value = find(path, text, "activation")) {
    const std::string_view name = trimmed(value->text);
    if (name != "sigmoid" && name != "softmax") value->fail("sigmoid or softmax was");
    metadata.activation = name == "sigmoid" ? Activation::sigmoid : Activation::softmax;
  }
  if (const auto value = find(path, text, "labels"); value && num_classes > 0) {
    metadata.labels = parse_labels(*value, num_classes);
  } else if (num_classes == 4) {
    metadata.labels = {"forward", "stop_slow", "left", "right"};
  }
  if (const auto value = find(path, text, "thresholds"); value && num_classes > 0) {
    metadata.thresholds = parse_thresholds(*value, num_classes);
  }
  return metadata;
}

StringMap metadata_text(const VitConfig& config, const ModelMetadata& metadata) {
  StringMap text;
  text["format"] = "pt";  // what readers of PyTorch weights look for
  text["heads"] = std::to_string(config.num_heads);
  text["trained_grid"] =
      fmt::format("{}x{}", config.trained_grid_height, config.trained_grid_width);
  text["mean"] = fmt::format("{}", fmt::join(metadata.mean, ","));
  text["std"] = fmt::format("{}", fmt::join(metadata.deviation, ","));
  if (metadata.input_size) {
    text["input_size"] =
        fmt::format("{}x{}", metadata.input_size->first, metadata.input_size->second);
  }
  if (metadata.crop_pct) text["crop_pct"] = fmt::format("{}", *metadata.crop_pct);
  if (config.has_head()) {
    text["activation"] = metadata.activation == Activation::sigmoid ? "sigmoid" : "softmax";
    if (!metadata.labels.empty()) text["labels"] = nlohmann::json(metadata.labels).dump();
    if (!metadata.thresholds.empty()) {
      text["thresholds"] = fmt::format("{}", fmt::join(metadata.thresholds, ","));
    }
  }
  return text;
}

}  // namespace vitsnna::model
