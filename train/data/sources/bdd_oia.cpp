// BDD-OIA's official layout: two lists, of images and of annotations, which only ids connect.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/io/printable.h"
#include "kernels/error.h"
#include "train/data/sources/json_file.h"
#include "train/data/sources/layouts.h"
#include "train/data/sources/sources.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Annotation {
  std::vector<float> labels;
  bool confusing = false;
  bool used = false;
};

std::int64_t id_of(const json& entry, const std::string& where) {
  const json& id = member(entry, "id", where);
  if (!id.is_number_integer()) {
    throw Error(fmt::format("{}: id {}, a whole number wanted", where, shown(id)));
  }
  return id.get<std::int64_t>();
}

const json& list(const json& file, const char* name, const std::string& where) {
  const json& found = member(file, name, where);
  if (!found.is_array()) throw Error(fmt::format("{}: \"{}\" is not a list", where, name));
  return found;
}

std::map<std::int64_t, Annotation> read_annotations(const json& file, const std::string& path) {
  std::map<std::int64_t, Annotation> annotations;
  std::size_t place = 0;
  for (const json& entry : list(file, "annotations", path)) {
    const std::string where = fmt::format("{}: annotation {}", path, place++);
    const std::int64_t id = id_of(entry, where);
    const json& category = member(entry, "category", where);
    if (!category.is_array() || (category.size() != 4 && category.size() != 5)) {
      throw Error(fmt::format("{}: category {}, 4 or 5 numbers wanted", where, shown(category)));
    }
    Annotation annotation;
    for (std::size_t k = 0; k < 4; ++k) annotation.labels.push_back(label_of(category[k], where));
    if (category.size() == 5) {
      if (!category[4].is_number()) {
        throw Error(fmt::format("{}: {} for whether it confuses, a number wanted", where,
                                shown(category[4])));
      }
      annotation.confusing = category[4] != 0;
    }
    if (!annotations.emplace(id, std::move(annotation)).second) {
      throw Error(fmt::format("{}: id {} is annotated twice", where, id));
    }
  }
  return annotations;
}

}  // namespace

void read_bdd_oia(const fs::path& folder, std::string_view split, Dataset& dataset) {
  const fs::path path = folder / fmt::format("{}_25k_images_actions.json", split);
  const json file = read_json(path);
  std::map<std::int64_t, Annotation> annotations = read_annotations(file, path.string());
  dataset.label_names = action_names();
  std::size_t place = 0, confusing = 0, repeated = 0;
  std::unordered_set<std::string> names;
  for (const json& entry : list(file, "images", path.string())) {
    const std::string where = fmt::format("{}: image {}", path.string(), place++);
    const std::int64_t id = id_of(entry, where);
    const json& name = member(entry, "file_name", where);
    if (!name.is_string()) throw Error(where + ": \"file_name\" is not text");
    const std::string file_name = name.get<std::string>();
    const auto found = annotations.find(id);
    if (found == annotations.end()) {
      throw Error(
          fmt::format("{}: id {} ({}) has no annotation", where, id, engine::printable(file_name)));
    }
    Annotation& annotation = found->second;
    if (annotation.used) throw Error(fmt::format("{}: id {} is there twice", where, id));
    annotation.used = true;
    const fs::path image = folder / "data" / file_name;
    require_image_file(image, where);
    if (annotation.confusing) {
      ++confusing;
      continue;
    }
    repeated += !names.insert(file_name).second;
    dataset.samples.push_back({image.string(), file_name});
    dataset.labels.insert(dataset.labels.end(), annotation.labels.begin(), annotation.labels.end());
  }
  for (const auto& [id, annotation] : annotations) {
    if (!annotation.used) {
      throw Error(fmt::format("{}: id {} is annotated, no image has it", path.string(), id));
    }
  }
  if (confusing > 0) {
    dataset.notes.push_back(fmt::format("{}: {} images annotated as confusing are left out",
                                        path.filename().string(), confusing));
  }
  if (repeated > 0) {
    dataset.notes.push_back(fmt::format("{}: {} images stand under a second id as well",
                                        path.filename().string(), repeated));
  }
}

}  // namespace vitsnna::train
