// A tree of image files, walked in an order that the tree alone decides.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "engine/io/printable.h"
#include "kernels/error.h"
#include "train/data/sources/layouts.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

bool is_image_name(const fs::path& path) {
  constexpr std::array<std::string_view, 5> known = {".jpg", ".jpeg", ".png", ".webp", ".bmp"};
  return std::find(known.begin(), known.end(), lower_extension(path)) != known.end();
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

/// Each folder is entered once, however many links lead to it: a link may lead to a folder above
/// it. Links wait until there is no other folder left, so that a folder inside the tree is known by
/// its own path and not by a link's; of several links to one folder the least path wins.
class Walk {
 public:
  explicit Walk(const fs::path& root) : folders_{root} {
    while (!folders_.empty() || !links_.empty()) {
      if (folders_.empty()) folders_.push_back(links_.extract(links_.begin()).value());
      const fs::path folder = std::move(folders_.back());
      folders_.pop_back();
      if (is_new(folder)) {
        list(folder);
      } else {
        ++again_;
      }
    }
    std::sort(images_.begin(), images_.end(),
              [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  }

  const std::vector<fs::path>& images() const { return images_; }

  /// What was passed over.
  std::vector<std::string> notes() const {
    std::vector<std::string> notes;
    if (again_ > 0) {
      notes.push_back(
          fmt::format("{} folders to which links lead a second time are passed over", again_));
    }
    if (nowhere_ > 0) {
      notes.push_back(fmt::format("{} links lead nowhere and are passed over, {} for one", nowhere_,
                                  nowhere_example_.string()));
    }
    return notes;
  }

 private:
  [[noreturn]] static void fail(const fs::path& path, const std::error_code& code) {
    throw Error(fmt::format("{}: {}", path.string(), code.message()));
  }

  bool is_new(const fs::path& folder) {
    struct stat status = {};
    if (::stat(folder.c_str(), &status) != 0) {
      fail(folder, std::error_code(errno, std::generic_category()));
    }
    return entered_.insert({status.st_dev, status.st_ino}).second;
  }

  void list(const fs::path& folder) {
    std::error_code code;
    fs::directory_iterator entry(folder, code);
    for (; !code && entry != fs::directory_iterator(); entry.increment(code)) {
      if (!is_hidden(entry->path())) look_at(*entry);
    }
    if (code) fail(folder, code);
  }

  void look_at(const fs::directory_entry& entry) {
    std::error_code code;
    if (entry.is_symlink(code)) return look_at_link(entry.path());
    // For other entries the folder itself mostly says what they are: no question of each file.
    if (!code && entry.is_directory(code)) {
      folders_.push_back(entry.path());
    } else if (!code && is_image_name(entry.path()) && entry.is_regular_file(code)) {
      images_.push_back(entry.path());
    }
    if (code) fail(entry.path(), code);
  }

  void look_at_link(const fs::path& link) {
    std::error_code code;
    const fs::file_status target = fs::status(link, code);
    if (target.type() == fs::file_type::not_found ||
        code == std::errc::too_many_symbolic_link_levels) {
      if (nowhere_++ == 0 || link < nowhere_example_) nowhere_example_ = link;
      return;
    }
    if (code) fail(link, code);
    if (fs::is_directory(target)) {
      links_.insert(link);
    } else if (is_image_name(link) && fs::is_regular_file(target)) {
      images_.push_back(link);
    }
  }

  std::vector<fs::path> folders_;  ///< still to be listed
  std::set<fs::path> links_;       ///< to folders, still to be followed
  std::set<std::pair<dev_t, ino_t>> entered_;
  std::vector<fs::path> images_;
  std::size_t again_ = 0, nowhere_ = 0;
  fs::path nowhere_example_;
};

}  // namespace

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

void read_folder(const fs::path& folder, Dataset& dataset) {
  const Walk walk(folder);
  for (const fs::path& image : walk.images()) {
    dataset.samples.push_back({image.string(), image.lexically_relative(folder).string()});
  }
  for (const std::string& note : walk.notes()) dataset.notes.push_back(note);
}

void require_image_file(const fs::path& path, const std::string& where) {
  std::error_code code;
  if (!fs::is_regular_file(path, code)) {
    throw Error(
        fmt::format("{}: image {} is not there", where, engine::printable(path.string(), 1000)));
  }
}

}  // namespace vitsnna::train
