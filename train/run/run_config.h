// Every option of a training run, resolved, by name: what config.json holds and what a resumed run
// must agree with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <variant>

namespace vitsnna::train {

using OptionValue = std::variant<bool, std::int64_t, double, std::string>;
using RunConfig = std::map<std::string, OptionValue>;

/// As in JSON: true, 12, 0.5, "text".
std::string text_of(const OptionValue& value);
/// A line an option: what ranks compare.
std::string text_of(const RunConfig& config);

/// Writes all or nothing; numbers so that reading them gives the same bits.
void write_run_config(const std::filesystem::path& file, const RunConfig& config);

/// Throws Error naming the file and what is wrong with it.
RunConfig read_run_config(const std::filesystem::path& file);

/// Throws Error naming the first option that differs, with both values, options of `may_change`
/// aside (where to look for data, how many threads). `file` is for the message.
void require_same(const std::filesystem::path& file, const RunConfig& stored,
                  const RunConfig& wanted, const std::set<std::string>& may_change);

}  // namespace vitsnna::train
