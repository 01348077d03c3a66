// What `pretrain` and `finetune` declare and resolve alike.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/images/image.h"
#include "train/data/image_cache.h"

namespace vitsnna::cli {

using kernels::index_t;

/// The most that a count may be: its products with extents stay in 64 bits.
constexpr index_t kMostOfACount = index_t{1} << 40;
constexpr double kLargestNumber = 1e12;

/// Options of one group, each with its default in the help.
class OptionGroup {
 public:
  OptionGroup(CLI::App& app, std::string name) : app_(app), name_(std::move(name)) {}
  void whole(const char* name, index_t& value, const char* help, index_t least,
             index_t most = kMostOfACount);
  void number(const char* name, double& value, const char* help, double least,
              double most = kLargestNumber);
  void number(const char* name, float& value, const char* help, double least,
              double most = kLargestNumber);
  /// Else -1 would be taken for 2^64 - 1.
  void seed(std::uint64_t& value, const char* help);
  void size(const char* name, std::string& value, const char* help);

 private:
  CLI::App& app_;
  std::string name_;
};

/// How images are read: --cache, --cache-folder, --decode-threads, --max-bad.
struct ReadingArguments {
  std::string& cache;
  std::string& cache_folder;
  int& decode_threads;
  double& max_bad;
};
void declare(CLI::App& app, const char* group, ReadingArguments arguments);

/// Throws UsageError naming the first of the options that the command line gives, with the reason
/// why it would change nothing.
void refuse_idle(const CLI::App& app, const std::vector<const char*>& options,
                 const std::string& reason);

/// As parse_extent reads it.
std::string text_of(engine::Extent extent);

/// Throws UsageError naming the option.
engine::Extent parse_extent(const std::string& option, const std::string& text);
train::CacheKind parse_cache(const std::string& cache, const std::string& folder);

}  // namespace vitsnna::cli
