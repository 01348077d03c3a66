// What is refused while the file is read, before any of it is looked at.
#include "train/data/sources/json_file.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::train {
namespace {

using nlohmann::json;

constexpr int kMostDepth = 16;

/// Sees every container begin and end, and every name.
class Watch {
 public:
  explicit Watch(std::string file) : file_(std::move(file)) {}

  void see(int depth, json::parse_event_t event, const json& value) {
    using Event = json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= kMostDepth) {
        throw Error(fmt::format("{}: nested more than {} deep", file_, kMostDepth));
      }
    }
    if (event == Event::object_start) names_.emplace_back();
    if (event == Event::object_end) names_.pop_back();
    if (event == Event::key) {
      const auto& name = value.get_ref<const std::string&>();
      if (!names_.back().insert(name).second) {
        throw Error(fmt::format("{}: \"{}\" is there twice", file_, engine::printable(name)));
      }
    }
  }

 private:
  std::string file_;
  std::vector<std::set<std::string>> names_;  ///< of the objects that are open
};

}  // namespace

json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  if (!in) throw Error(fmt::format("{}: cannot be opened", path.string()));
  Watch watch(path.string());
  try {
    return json::parse(in, [&](int depth, json::parse_event_t event, json& value) {
      watch.see(depth, event, value);
      return true;
    });
  } catch (const json::exception& error) {
    throw Error(
        fmt::format("{}: not JSON: {}", path.string(), engine::printable(error.what(), 300)));
  }
}

const json& member(const json& object, const char* name, const std::string& where) {
  if (!object.is_object() || !object.contains(name)) {
    throw Error(fmt::format("{}: no \"{}\"", where, name));
  }
  return object[name];
}

std::string shown(const json& value) { return engine::printable(value.dump(), 40); }

float label_of(const json& value, const std::string& where) {
  if (!value.is_number() || (value != 0 && value != 1)) {
    throw Error(fmt::format("{}: label {}, 0 or 1 wanted", where, shown(value)));
  }
  return value.get<float>();
}

}  // namespace vitsnna::train
