// What the commands that go through data sets declare and resolve alike.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "cli/options.h"
#include "engine/images/image.h"
#include "train/data/image_cache.h"
#include "train/run/run_config.h"

namespace vitsnna::cli {

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

/// How images are read.
struct ReadingArguments {
  int decode_threads = 2;
  double max_bad = .01;
};
void declare(CLI::App& app, const char* group, ReadingArguments& arguments);

/// Of a run, what changes nothing that is learnt: its folder's upkeep and how images come in.
struct KeepingArguments {
  bool resume = false;
  index_t checkpoint_every = 1, keep = 3, log_every = 1;
  std::string cache = "none", cache_folder{};
  ReadingArguments reading{};
};
/// `period` is what the run counts: "Steps", "Epochs".
void declare(CLI::App& app, const char* group, const std::string& period,
             KeepingArguments& arguments);
/// Every option of a run that a resumed one may give anew, by its name; where the data lie aside.
train::RunConfig run_config(const KeepingArguments& keeping, const RunArguments& run);
/// Their names and these.
std::set<std::string> may_change_and(std::set<std::string> others);

/// Throws UsageError naming the first of the options that the command line gives, with the reason
/// why it would change nothing.
void refuse_idle(const CLI::App& app, const std::vector<const char*>& options,
                 const std::string& reason);

/// As parse_extent reads it.
std::string text_of(engine::Extent extent);

/// Throws UsageError naming the option.
engine::Extent parse_extent(const std::string& option, const std::string& text);
train::CacheKind parse_cache(const std::string& cache, const std::string& folder);

/// What train's options of a run take of these.
template <typename Options>
void resolve(const KeepingArguments& keeping, Options& options) {
  options.cache = parse_cache(keeping.cache, keeping.cache_folder);
  options.cache_folder = keeping.cache_folder;
  options.decode_threads = keeping.reading.decode_threads;
  options.max_bad = keeping.reading.max_bad;
}

}  // namespace vitsnna::cli
