// Starting, resuming and saving a run.
#include "cli/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/io/sha256.h"
#include "kernels/error.h"

namespace vitsnna::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPending = "pending";

/// Hidden ones aside: what a killed process left half written is one.
bool has_entries(const fs::path& folder) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (!entry.path().filename().string().starts_with(".")) return true;
  }
  return false;
}

/// What a killed process was writing (engine/io/atomic_file.h): as large as a checkpoint.
void remove_unfinished(const fs::path& folder) {
  std::vector<fs::path> unfinished;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(".tmp")) unfinished.push_back(entry.path());
  }
  for (const fs::path& file : unfinished) fs::remove(file);
}

/// Throws Error where it could not be made, or not be written to.
void require_writable(const fs::path& folder) {
  fs::path there = fs::absolute(folder).lexically_normal();
  if (!there.has_filename()) there = there.parent_path();  // a slash at the end
  while (!fs::exists(there) && there.has_relative_path()) there = there.parent_path();
  if (!fs::is_directory(there)) {
    throw Error(fmt::format("{}: {} is no folder", folder.string(), there.string()));
  }
  if (::access(there.c_str(), W_OK | X_OK) != 0) {
    throw Error(fmt::format("{}: {}: {}", folder.string(), there.string(), std::strerror(errno)));
  }
}

}  // namespace

RunFolder::RunFolder(Options options, train::RunConfig config, train::Communicator& ranks,
                     const Console& console)
    : options_(std::move(options)),
      config_(std::move(config)),
      is_run_(fs::exists(path() / "config.json")),
      ranks_(ranks),
      console_(console) {
  if (!options_.read_only) require_writable(path());
  if (is_run_ && options_.resume) {
    const fs::path file = path() / "config.json";
    train::require_same(file, train::read_run_config(file), config_, options_.may_change);
  } else if (is_run_ || has_entries(path())) {
    throw Error(fmt::format("{}: is {}", path().string(),
                            is_run_ ? "a run already, --resume goes on with it"
                                    : "neither empty nor a run, an empty folder is wanted"));
  }
}

void RunFolder::create() {
  ranks_.barrier();  // all have looked before one writes
  if (writes() && !is_run_) {
    if (fs::exists(path() / "config.json")) {
      throw Error(
          fmt::format("{}: another process has begun a run there meanwhile", path().string()));
    }
    std::error_code code;
    fs::create_directories(path(), code);
    if (code) throw Error(fmt::format("{}: {}", path().string(), code.message()));
    train::write_run_config(path() / "config.json", config_);
  }
  if (writes()) lock_.take(path() / "config.json");
  ranks_.barrier();
  checkpoints_ = std::make_unique<train::CheckpointStore>(path() / "checkpoints", options_.keep);
  if (writes()) {
    remove_unfinished(path());
    remove_unfinished(path() / "checkpoints");
  }
}

std::optional<RunFolder::Found> RunFolder::newest() {
  if (!options_.resume) return std::nullopt;
  std::vector<std::string> problems;
  std::optional<train::RunState> state = checkpoints_->newest(problems);
  for (const std::string& problem : problems) console_.warn(problem);
  train::require_equal_ranks(ranks_, "the newest checkpoint's step",
                             std::to_string(state ? state->steps : 0));
  console_.note(
      fmt::format("{}: going on after step {}", path().string(), state ? state->steps : 0));
  if (!state) return std::nullopt;
  std::string name = checkpoints_->file_of(state->steps).string();
  return Found{*std::move(state), std::move(name)};
}

void RunFolder::open_log(index_t last_step) {
  if (!writes()) return;
  log_ = std::make_unique<train::MetricsLog>(path() / "metrics.jsonl", last_step);
  timing_ = std::make_unique<train::MetricsLog>(path() / "timing.jsonl", last_step);
}

void RunFolder::log(index_t step, const std::map<std::string, double>& values) {
  if (log_) log_->append(step, values);
}

void RunFolder::log_timing(index_t step, const std::map<std::string, double>& values) {
  if (timing_) timing_->append(step, values);
}

void RunFolder::save(const train::RunState& state) {
  if (ranks_.size() > 1) {
    std::string digests;
    for (const auto& [name, tensor] : state.tensors) {
      digests += fmt::format("{} of SHA-256 {}\n", name, engine::sha256(tensor.bytes));
    }
    train::require_equal_ranks(ranks_, fmt::format("tensors after step {}", state.steps), digests);
  }
  if (!writes()) return;
  if (log_) log_->sync();
  checkpoints_->save(state);
  if (log_ && fs::file_size(path() / "metrics.jsonl") > drawn_ + drawn_ / 20) draw_curve();
}

void RunFolder::draw_curve() {
  if (!log_) return;
  const fs::path metrics = path() / "metrics.jsonl";
  drawn_ = fs::file_size(metrics);
  train::draw_training_curve(metrics, path() / "curve.png", options_.curve);
}

void keep_pending(train::RunState& state, const std::map<std::string, double>& values) {
  state.metadata[kPending] = nlohmann::json(values).dump();
}

std::optional<std::map<std::string, double>> pending_of(const train::RunState& state,
                                                        const std::string& where) {
  const auto found = state.metadata.find(kPending);
  if (found == state.metadata.end()) return std::nullopt;
  const auto json = nlohmann::json::parse(found->second, nullptr, false);
  std::map<std::string, double> values;
  for (const auto& [name, value] : json.items()) {
    if (value.is_number()) values.emplace(name, value.get<double>());
    if (value.is_null()) values.emplace(name, std::numeric_limits<double>::quiet_NaN());
  }
  if (!json.is_object() || values.size() != json.size()) {
    throw Error(fmt::format("{}: {} is \"{}\", an object of numbers wanted", where, kPending,
                            found->second));
  }
  return values;
}

}  // namespace vitsnna::cli
