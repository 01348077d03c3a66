// Declarations with the checks that their values need.
#include "cli/training_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <limits>

#include "cli/errors.h"
#include "cli/options.h"
#include "explain/input_geometry.h"

namespace vitsnna::cli {

void OptionGroup::whole(const char* name, index_t& value, const char* help, index_t least,
                        index_t most) {
  whole_between(
      app_.add_option(name, value, help)->type_name("N")->group(name_)->capture_default_str(),
      least, most);
}

void OptionGroup::number(const char* name, double& value, const char* help, double least,
                         double most) {
  finite_between(
      app_.add_option(name, value, help)->type_name("X")->group(name_)->capture_default_str(),
      least, most);
}

void OptionGroup::number(const char* name, float& value, const char* help, double least,
                         double most) {
  finite_between(
      app_.add_option(name, value, help)->type_name("X")->group(name_)->capture_default_str(),
      least, most);
}

void OptionGroup::seed(std::uint64_t& value, const char* help) {
  whole_between(
      app_.add_option("--seed", value, help)->type_name("N")->group(name_)->capture_default_str(),
      0, std::numeric_limits<index_t>::max());
}

void OptionGroup::size(const char* name, std::string& value, const char* help) {
  app_.add_option(name, value, help)->type_name("HxW")->group(name_)->capture_default_str();
}

void declare(CLI::App& app, const char* group, ReadingArguments& arguments) {
  whole_between(app.add_option("--decode-threads", arguments.decode_threads, "That read images")
                    ->type_name("N")
                    ->group(group)
                    ->capture_default_str(),
                1, 256);
  finite_between(app.add_option("--max-bad", arguments.max_bad,
                                "Share of the images that may be unreadable (.01: 1%)")
                     ->type_name("X")
                     ->group(group)
                     ->capture_default_str(),
                 0, 1);
}

void declare(CLI::App& app, const char* group, const std::string& period,
             KeepingArguments& arguments) {
  app.add_flag("--resume", arguments.resume, "Go on from the newest checkpoint of --output")
      ->group(group);
  OptionGroup keeping(app, group);
  keeping.whole("--checkpoint-every", arguments.checkpoint_every,
                (period + " from one checkpoint to the next").c_str(), 1);
  keeping.whole("--keep", arguments.keep, "Checkpoints that stay", 1);
  keeping.whole("--log-every", arguments.log_every,
                (period + " from one line on the terminal to the next").c_str(), 1);
  choices(
      app.add_option("--cache", arguments.cache, "Where decoded images are kept for the next epoch")
          ->capture_default_str()
          ->group(group),
      {"none", "ram", "disk"});
  app.add_option("--cache-folder", arguments.cache_folder, "Where --cache disk keeps them")
      ->type_name("DIR")
      ->group(group);
  declare(app, group, arguments.reading);
}

train::RunConfig run_config(const KeepingArguments& keeping, const RunArguments& run) {
  return {{"checkpoint_every", keeping.checkpoint_every},
          {"keep", keeping.keep},
          {"log_every", keeping.log_every},
          {"cache", keeping.cache},
          {"cache_folder", keeping.cache_folder},
          {"decode_threads", std::int64_t{keeping.reading.decode_threads}},
          {"max_bad", keeping.reading.max_bad},
          {"device", run.device},
          {"threads", std::int64_t{run.threads}}};
}

std::set<std::string> may_change_and(std::set<std::string> others) {
  for (const auto& option : run_config(KeepingArguments(), RunArguments())) {
    others.insert(option.first);
  }
  return others;
}

void refuse_idle(const CLI::App& app, const std::vector<const char*>& options,
                 const std::string& reason) {
  for (const char* option : options) {
    if (app.count(option) > 0) throw UsageError(fmt::format("{}: {}", option, reason));
  }
}

std::string text_of(engine::Extent extent) {
  return fmt::format("{}x{}", extent.height, extent.width);
}

engine::Extent parse_extent(const std::string& option, const std::string& text) {
  explain::SizeOptions parsed;
  try {
    explain::parse_size(text, parsed);
  } catch (const Error& error) {
    std::string reason = error.what();  // "--size: .."
    throw UsageError(option + reason.substr(reason.find(':')));
  }
  if (!parsed.size) throw UsageError(fmt::format("{}: '{}' given, HxW wanted", option, text));
  return *parsed.size;
}

train::CacheKind parse_cache(const std::string& cache, const std::string& folder) {
  if (cache == "disk" && folder.empty()) {
    throw UsageError("--cache disk: --cache-folder is wanted");
  }
  if (cache != "disk" && !folder.empty()) {
    throw UsageError("--cache-folder: nothing comes of it without --cache disk");
  }
  return cache == "ram"    ? train::CacheKind::ram
         : cache == "disk" ? train::CacheKind::disk
                           : train::CacheKind::none;
}

}  // namespace vitsnna::cli
