// The layout of the released SNNA code: a folder a split, and a dictionary of its labels.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "engine/io/printable.h"
#include "kernels/error.h"
#include "train/data/sources/json_file.h"
#include "train/data/sources/layouts.h"
#include "train/data/sources/sources.h"

namespace vitsnna::train {

namespace fs = std::filesystem;

void read_snna(const fs::path& folder, std::string_view split, Dataset& dataset) {
  const fs::path path = folder / fmt::format("{}.json", split);
  const nlohmann::json file = read_json(path);
  if (!file.is_object()) {
    throw Error(fmt::format("{}: not a dictionary of file names", path.string()));
  }
  dataset.label_names = action_names();
  std::set<std::string> listed;
  for (const auto& [name, values] : file.items()) {
    const std::string where = fmt::format("{}: {}", path.string(), engine::printable(name));
    if (!values.is_array() || values.size() != 4) {
      throw Error(fmt::format("{}: {}, 4 numbers wanted", where, shown(values)));
    }
    const fs::path image = folder / split / name;
    require_image_file(image, where);
    dataset.samples.push_back({image.string(), name});
    for (const auto& value : values) dataset.labels.push_back(label_of(value, where));
    listed.insert(image.string());
  }
  Dataset present;
  read_folder(folder / split, present);
  std::size_t unlisted = 0;
  for (const Sample& sample : present.samples) unlisted += !listed.contains(sample.path);
  if (unlisted > 0) {
    dataset.notes.push_back(fmt::format("{}: {} images of {}/ that it does not list are left out",
                                        path.filename().string(), unlisted, split));
  }
}

}  // namespace vitsnna::train
