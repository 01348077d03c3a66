// A JSON file whose every complaint names the file.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/error.h"

namespace vitsnna::train {

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  if (!in) throw Error(fmt::format("{}: cannot be opened", path.string()));
  try {
    return nlohmann::json::parse(in);
  } catch (const nlohmann::json::exception& error) {
    std::string text = error.what();
    for (char& c : text) c = c == '\n' ? ' ' : c;
    throw Error(fmt::format("{}: not JSON: {}", path.string(), text));
  }
}

/// Member `name` of an object; throws Error naming `where`.
inline const nlohmann::json& member(const nlohmann::json& object, const char* name,
                                    const std::string& where) {
  if (!object.is_object() || !object.contains(name)) {
    throw Error(fmt::format("{}: no \"{}\"", where, name));
  }
  return object[name];
}

/// A label: 0 or 1.
inline float label_of(const nlohmann::json& value, const std::string& where) {
  if (!value.is_number() || (value != 0 && value != 1)) {
    throw Error(fmt::format("{}: label {}, 0 or 1 wanted", where, value.dump().substr(0, 40)));
  }
  return value.get<float>();
}

}  // namespace vitsnna::train
