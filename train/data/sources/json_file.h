// A JSON file whose every complaint names the file.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vitsnna::train {

/// Throws Error naming the file: missing, not JSON, nested more than 16 deep (no layout needs more
/// than 4, and printing what is nested without end takes a stack without end), or a name that an
/// object gives twice, of which JSON readers keep one in silence.
nlohmann::json read_json(const std::filesystem::path& path);

/// Member `name` of an object; throws Error naming `where`.
const nlohmann::json& member(const nlohmann::json& object, const char* name,
                             const std::string& where);

/// A value as a message shows it: its beginning.
std::string shown(const nlohmann::json& value);

/// A label: 0 or 1.
float label_of(const nlohmann::json& value, const std::string& where);

}  // namespace vitsnna::train
