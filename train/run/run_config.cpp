// A flat JSON object, and its comparison.
#include "train/run/run_config.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/io/atomic_file.h"
#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::train {

namespace {

using nlohmann::json;

/// JSON is UTF-8, and paths may be any bytes: those that are not are written as \xNN.
json json_of(const OptionValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text && !engine::is_utf8(*text)) return engine::printable(*text, 4 * text->size());
  return std::visit([](const auto& held) { return json(held); }, value);
}

/// Nothing where the value is no option's.
bool read_value(const json& value, OptionValue& option) {
  if (value.is_boolean()) {
    option = value.get<bool>();
  } else if (value.is_number_integer()) {
    option = value.get<std::int64_t>();
  } else if (value.is_number_float()) {
    option = value.get<double>();
  } else if (value.is_string()) {
    option = value.get<std::string>();
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::string text_of(const OptionValue& value) { return json_of(value).dump(); }

std::string text_of(const RunConfig& config) {
  std::string text;
  for (const auto& [name, value] : config) text += name + "=" + text_of(value) + "\n";
  return text;
}

void write_run_config(const std::filesystem::path& file, const RunConfig& config) {
  json object = json::object();
  for (const auto& [name, value] : config) object[name] = json_of(value);
  engine::write_file(file, object.dump(2) + "\n");
}

RunConfig read_run_config(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) throw Error(file.string() + ": cannot be read");
  const json object = json::parse(stream, nullptr, false);
  if (!object.is_object()) throw Error(file.string() + ": not a JSON object of options");
  RunConfig config;
  for (const auto& [name, value] : object.items()) {
    OptionValue option;
    if (!read_value(value, option)) {
      throw Error(file.string() + ": option " + name +
                  " is neither a number, a text, nor true or false");
    }
    config.emplace(name, std::move(option));
  }
  return config;
}

void require_same(const std::filesystem::path& file, const RunConfig& stored,
                  const RunConfig& wanted, const std::set<std::string>& may_change) {
  const auto differs = [&](const std::string& name, const std::string& found,
                           const std::string& asked) {
    throw Error(file.string() + ": the run was begun with " + name + " = " + found +
                ", now it is " + asked);
  };
  for (const auto& [name, value] : wanted) {
    if (may_change.contains(name)) continue;
    const auto found = stored.find(name);
    if (found == stored.end()) differs(name, "nothing", text_of(value));
    const std::string begun = text_of(found->second), asked = text_of(value);
    if (begun != asked) differs(name, begun, asked);
  }
  for (const auto& [name, value] : stored) {
    if (!may_change.contains(name) && !wanted.contains(name)) {
      differs(name, text_of(value), "nothing");
    }
  }
}

}  // namespace vitsnna::train
