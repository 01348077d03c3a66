// Finds out which layout a path has, and reads the splits that were asked for.
#include "train/data/sources/sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <optional>

#include "kernels/error.h"
#include "train/data/sources/layouts.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kSplits = {"train", "val", "test"};

fs::path bdd100k_split(const fs::path& root, std::string_view split) {
  return root / "images" / "100k" / split;
}

struct Layout {
  std::string_view kind;
  bool has_splits;
  /// Whether `path` has that split; of a layout without splits, whether it is this layout at all.
  bool (*has)(const fs::path& path, std::string_view split);
  void (*read)(const fs::path& path, std::string_view split, Dataset& dataset);
};

/// In the order in which a path is tried.
constexpr std::array<Layout, 5> kLayouts = {{
    {"csv", false,
     [](const fs::path& path, std::string_view) {
       return fs::is_regular_file(path) && lower_extension(path) == ".csv";
     },
     [](const fs::path& path, std::string_view, Dataset& dataset) { read_csv(path, dataset); }},
    {"bdd-oia", true,
     [](const fs::path& path, std::string_view split) {
       return fs::is_regular_file(path / fmt::format("{}_25k_images_actions.json", split));
     },
     read_bdd_oia},
    {"bdd100k", true,
     [](const fs::path& path, std::string_view split) {
       return fs::is_directory(bdd100k_split(path, split));
     },
     [](const fs::path& path, std::string_view split, Dataset& dataset) {
       read_folder(bdd100k_split(path, split), dataset);
     }},
    {"snna", true,
     [](const fs::path& path, std::string_view split) {
       return fs::is_regular_file(path / fmt::format("{}.json", split)) &&
              fs::is_directory(path / split);
     },
     read_snna},
    {"folder", false, [](const fs::path& path, std::string_view) { return fs::is_directory(path); },
     [](const fs::path& path, std::string_view, Dataset& dataset) { read_folder(path, dataset); }},
}};

std::vector<std::string> splits_in(const Layout& layout, const fs::path& path) {
  std::vector<std::string> found;
  for (const std::string_view split : kSplits) {
    if (layout.has_splits && layout.has(path, split)) found.emplace_back(split);
  }
  return found;
}

struct Located {
  const Layout* layout = nullptr;
  fs::path path;
};

Located locate(std::string_view what) {
  const std::size_t colon = what.find(':');
  for (const Layout& layout : kLayouts) {
    if (colon != std::string_view::npos && what.substr(0, colon) == layout.kind) {
      const fs::path path(what.substr(colon + 1));
      if (!fs::exists(path)) {
        throw Error(fmt::format("data set {}: {}: no such file or folder", what, path.string()));
      }
      return {&layout, path};
    }
  }
  const fs::path path(what);
  if (!fs::exists(path)) {
    throw Error(
        fmt::format("data set {}: no such file or folder (kinds that may be named: csv, "
                    "bdd-oia, bdd100k, snna, folder)",
                    what));
  }
  for (const Layout& layout : kLayouts) {
    if (layout.has_splits ? !splits_in(layout, path).empty() : layout.has(path, {})) {
      return {&layout, path};
    }
  }
  throw Error(fmt::format("data set {}: neither a folder nor a .csv file", what));
}

}  // namespace

const std::vector<std::string>& action_names() {
  static const std::vector<std::string> names = {"forward", "stop_slow", "left", "right"};
  return names;
}

std::vector<std::string> splits_of(std::string_view what) {
  const Located found = locate(what);
  return splits_in(*found.layout, found.path);
}

Dataset open_dataset(std::string_view what, std::string_view split) {
  const auto [layout, path] = locate(what);
  Dataset dataset;
  dataset.kind = layout->kind;
  dataset.path = path.string();
  dataset.split = split;
  try {
    if (!layout->has_splits) {
      if (!split.empty()) {
        throw Error(fmt::format("data set {}: split '{}' wanted, the {} layout has none", what,
                                split, layout->kind));
      }
      layout->read(path, {}, dataset);
    } else {
      const std::vector<std::string> there = splits_in(*layout, path);
      if (there.empty() ||
          (!split.empty() && std::find(there.begin(), there.end(), split) == there.end())) {
        throw Error(
            fmt::format("data set {}: no {} in the {} layout; there: {}", what,
                        split.empty() ? "split" : fmt::format("split '{}'", split), layout->kind,
                        there.empty() ? "none" : fmt::format("{}", fmt::join(there, ", "))));
      }
      for (const std::string& one : there) {
        if (split.empty() || one == split) layout->read(path, one, dataset);
      }
    }
  } catch (const fs::filesystem_error& error) {
    throw Error(
        fmt::format("data set {}: {}: {}", what, error.path1().string(), error.code().message()));
  }
  if (dataset.samples.empty()) {
    throw Error(fmt::format("data set {}: no images ({} layout)", what, layout->kind));
  }
  return dataset;
}

}  // namespace vitsnna::train
