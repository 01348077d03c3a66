// Starting, resuming and saving a run.
#include "cli/run_folder.h"

#include <fmt/format.h>

#include "engine/io/sha256.h"
#include "kernels/error.h"

namespace vitsnna::cli {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

RunFolder::RunFolder(Options options, const train::RunConfig& config, train::Communicator& ranks,
                     const Console& console)
    : options_(std::move(options)), ranks_(ranks), console_(console) {
  const fs::path file = path() / "config.json";
  const bool is_run = fs::exists(file);
  if (is_run && options_.resume) {
    train::require_same(file, train::read_run_config(file), config, options_.may_change);
  } else if (is_run || has_entries(path())) {
    throw Error(fmt::format("{}: is {}", path().string(),
                            is_run ? "a run already, --resume goes on with it"
                                   : "neither empty nor a run, an empty folder is wanted"));
  }
  ranks_.barrier();  // all have looked before one writes
  if (writes() && !is_run) {
    fs::create_directories(path());
    train::write_run_config(file, config);
  }
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

void RunFolder::open_log(index_t steps_done) {
  // What was logged before the first step is logged again.
  const index_t kept = steps_done == 0 ? -1 : steps_done;
  if (writes()) log_ = std::make_unique<train::MetricsLog>(path() / "metrics.jsonl", kept);
}

void RunFolder::log(index_t step, const std::map<std::string, double>& values) {
  if (log_) log_->append(step, values);
}

void RunFolder::save(const train::RunState& state) {
  if (ranks_.size() > 1) {
    std::string digests;
    for (const auto& [name, tensor] : state.tensors) digests += engine::sha256(tensor.bytes);
    train::require_equal_ranks(ranks_, "the SHA-256 of its tensors", digests);
  }
  if (!writes()) return;
  checkpoints_->save(state);
  if (log_) {
    train::draw_training_curve(path() / "metrics.jsonl", path() / "curve.png", options_.curve);
  }
}

}  // namespace vitsnna::cli
