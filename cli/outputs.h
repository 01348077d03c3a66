// The folder that results go to, and groups of files that appear in it together or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/atomic_file.h"
#include "explain/image.h"

namespace vitsnna::cli {

using kernels::index_t;

/// Before a command computes what goes to one file: throws Error where that exists and may not be
/// replaced, is a folder, or cannot be created.
void check_output_file(const std::filesystem::path& file, bool force);

class OutputFolder {
 public:
  OutputFolder(std::filesystem::path path, bool force);
  /// Takes away a folder that create() made and nothing was written to.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  std::filesystem::path at(const std::string& name) const { return path_ / name; }
  bool force() const { return force_; }

  /// Throws Error where a file of this name exists and may not be replaced.
  void refuse_existing(const std::string& name) const;
  /// Whether a file of this name was there when the run began.
  bool had(const std::string& name) const { return before_.contains(name); }
  /// Makes the folder and proves that a file can be created in it. Throws Error naming it.
  void create();

 private:
  std::filesystem::path path_;
  bool force_;
  bool created_ = false;
  std::set<std::string> before_;
};

class OutputGroup {
 public:
  explicit OutputGroup(const OutputFolder& folder) : folder_(folder) {}

  /// Each writes a temporary file; throws Error naming the file it is for.
  void add_npy(const std::string& name, const std::vector<std::int64_t>& shape,
               std::span<const float> values);
  void add_png(const std::string& name, const explain::Image& image);
  void add_text(const std::string& name, std::string_view text);

  /// Gives every file its name, in the order in which they were added.
  void commit();

 private:
  engine::AtomicFile& open(const std::string& name);

  const OutputFolder& folder_;
  std::vector<std::unique_ptr<engine::AtomicFile>> files_;
};

}  // namespace vitsnna::cli
