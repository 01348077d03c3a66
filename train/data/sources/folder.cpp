// A tree of image files.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "kernels/error.h"
#include "train/data/sources/layouts.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

bool is_image_name(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::array<std::string_view, 5> known = {".jpg", ".jpeg", ".png", ".webp", ".bmp"};
  return std::find(known.begin(), known.end(), extension) != known.end();
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

}  // namespace

void read_folder(const fs::path& folder, Dataset& dataset) {
  std::vector<Sample> found;
  const auto options = fs::directory_options::follow_directory_symlink;
  for (auto entry = fs::recursive_directory_iterator(folder, options);
       entry != fs::recursive_directory_iterator(); ++entry) {
    if (is_hidden(entry->path())) {
      if (entry->is_directory()) entry.disable_recursion_pending();
    } else if (is_image_name(entry->path()) && entry->is_regular_file()) {
      found.push_back({entry->path().string(), entry->path().lexically_relative(folder).string()});
    }
  }
  std::sort(found.begin(), found.end(),
            [](const Sample& a, const Sample& b) { return a.path < b.path; });
  dataset.samples.insert(dataset.samples.end(), found.begin(), found.end());
}

void require_image_file(const fs::path& path, const std::string& where) {
  std::error_code code;
  if (!fs::is_regular_file(path, code)) {
    throw Error(fmt::format("{}: image {} is not there", where, path.string()));
  }
}

}  // namespace vitsnna::train
