// Checks before anything is computed, temporary files while writing, renames at the end.
#include "cli/outputs.h"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "engine/io/npy.h"
#include "explain/pictures/write_png.h"
#include "kernels/error.h"

namespace vitsnna::cli {

namespace fs = std::filesystem;

void check_output_file(const fs::path& file, bool force) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(file, ignored);
  if (fs::is_directory(status)) {
    throw Error(fmt::format("{}: is a folder, a file is to be written there", file.string()));
  }
  if (fs::exists(status) && !force) {
    throw Error(fmt::format("{}: exists, --force replaces it", file.string()));
  }
  const engine::AtomicFile probe(file);
}

OutputFolder::OutputFolder(fs::path path, bool force) : path_(std::move(path)), force_(force) {
  std::error_code error;
  const fs::file_status status = fs::status(path_, error);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) {
    throw Error(fmt::format("{}: is not a folder, --output wants one", path_.string()));
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    before_.insert(entry.path().filename().string());
  }
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;  // a folder that holds something is not removed, and that is right
  if (created_) fs::remove(path_, ignored);
}

void OutputFolder::refuse_existing(const std::string& name) const {
  if (!had(name)) return;
  if (!force_) {
    throw Error(fmt::format("{}: exists, --force replaces it", at(name).string()));
  }
  if (fs::is_directory(at(name))) {
    throw Error(fmt::format("{}: is a folder, a file is to be written there", at(name).string()));
  }
}

void OutputFolder::create() {
  std::error_code error;
  created_ = fs::create_directories(path_, error);
  if (error) {
    throw Error(
        fmt::format("{}: the output folder cannot be made: {}", path_.string(), error.message()));
  }
  try {
    const engine::AtomicFile probe(at("manifest.json"));
  } catch (const Error&) {
    throw Error(fmt::format("{}: the output folder cannot be written to", path_.string()));
  }
}

engine::AtomicFile& OutputGroup::open(const std::string& name) {
  files_.push_back(std::make_unique<engine::AtomicFile>(folder_.at(name)));
  return *files_.back();
}

void OutputGroup::add_npy(const std::string& name, const std::vector<std::int64_t>& shape,
                          std::span<const float> values) {
  const std::string header = engine::npy_header(folder_.at(name), shape, values.size());
  engine::AtomicFile& file = open(name);
  file.write(header);
  file.write(std::as_bytes(values));
  file.seal();
}

void OutputGroup::add_png(const std::string& name, const explain::Image& image) {
  const std::vector<std::uint8_t> encoded = explain::encode_png(folder_.at(name).string(), image);
  engine::AtomicFile& file = open(name);
  file.write(std::as_bytes(std::span(encoded)));
  file.seal();
}

void OutputGroup::add_text(const std::string& name, std::string_view text) {
  engine::AtomicFile& file = open(name);
  file.write(text);
  file.seal();
}

void OutputGroup::commit() {
  for (const auto& file : files_) file->commit();
  files_.clear();
}

}  // namespace vitsnna::cli
