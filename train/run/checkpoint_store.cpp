// Names that sort by step; safetensors written atomically.
#include "train/run/checkpoint_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace vitsnna::train {

namespace {

constexpr const char* kFormat = "vitsnna-run-1";
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kSuffix = ".safetensors";

/// The steps in a checkpoint's name; nothing where it is another file's.
std::optional<index_t> steps_in(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const char* const first = name.data() + kPrefix.size();
  const char* const last = name.data() + name.size() - kSuffix.size();
  index_t steps = 0;
  const auto [end, failure] = std::from_chars(first, last, steps);
  if (failure != std::errc() || end != last || steps < 0) return std::nullopt;
  return steps;
}

}  // namespace

CheckpointStore::CheckpointStore(std::filesystem::path folder, index_t keep)
    : folder_(std::move(folder)), keep_(keep) {
  if (keep < 1) throw Error("checkpoints: " + std::to_string(keep) + " to keep, at least 1 wanted");
  std::error_code failure;
  std::filesystem::create_directories(folder_, failure);
  if (failure) throw Error(folder_.string() + ": cannot be made: " + failure.message());
}

std::filesystem::path CheckpointStore::file_of(index_t steps) const {
  return folder_ / fmt::format("{}{:09d}{}", kPrefix, steps, kSuffix);
}

std::vector<std::filesystem::path> CheckpointStore::files() const {
  std::vector<std::pair<index_t, std::filesystem::path>> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (const auto steps = steps_in(entry.path().filename().string())) {
      found.emplace_back(*steps, entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<std::filesystem::path> files;
  for (auto& [steps, path] : found) files.push_back(std::move(path));
  return files;
}

void CheckpointStore::write(const std::filesystem::path& file, const RunState& state) {
  std::map<std::string, std::string> metadata = state.metadata;
  metadata["run_format"] = kFormat;
  metadata["steps"] = std::to_string(state.steps);
  engine::write_safetensors(file, state.tensors, metadata);
}

void CheckpointStore::save(const RunState& state) {
  write(file_of(state.steps), state);
  std::vector<std::filesystem::path> all = files();
  // A later one is of a run that has come back to an earlier step, or damaged: no reason to lose
  // what has just been written.
  std::erase_if(all, [&](const std::filesystem::path& file) {
    return steps_in(file.filename().string()) > state.steps;
  });
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i) {
    std::error_code ignored;  // one that cannot be removed costs space, not the run
    std::filesystem::remove(all[i], ignored);
  }
}

double number_in(const RunState& state, const std::string& key, const std::string& where) {
  const auto found = state.metadata.find(key);
  if (found == state.metadata.end()) throw Error(where + ": no " + key);
  const std::string& text = found->second;
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) {
    throw Error(where + ": " + key + " is \"" + text + "\", a number wanted");
  }
  return value;
}

RunState CheckpointStore::read(const std::filesystem::path& file) {
  engine::TensorFile tensors = engine::read_safetensors(file.string());
  const auto text = [&](const char* key) {
    const auto found = tensors.metadata.find(key);
    return found == tensors.metadata.end() ? std::string() : found->second;
  };
  if (text("run_format") != kFormat) {
    throw Error(file.string() + ": run_format is \"" + text("run_format") + "\", \"" + kFormat +
                "\" wanted");
  }
  RunState state;
  const std::string steps = text("steps");
  const auto [end, failure] =
      std::from_chars(steps.data(), steps.data() + steps.size(), state.steps);
  if (failure != std::errc() || end != steps.data() + steps.size() || state.steps < 0) {
    throw Error(file.string() + ": steps is \"" + steps + "\", a number wanted");
  }
  state.tensors = std::move(tensors.tensors);
  state.metadata = std::move(tensors.metadata);
  return state;
}

std::optional<RunState> CheckpointStore::newest(std::vector<std::string>& problems) const {
  const std::vector<std::filesystem::path> all = files();
  for (auto file = all.rbegin(); file != all.rend(); ++file) {
    try {
      return read(*file);
    } catch (const Error& error) {
      problems.emplace_back(error.what());
    }
  }
  if (all.empty()) return std::nullopt;
  std::string said;
  for (const std::string& problem : problems) said += (said.empty() ? "" : "; ") + problem;
  throw Error(folder_.string() + ": no checkpoint can be read, one wanted to go on from: " + said);
}

}  // namespace vitsnna::train
