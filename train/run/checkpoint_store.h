// The checkpoints of a run: `<folder>/step-<steps done>.safetensors`, the newest few kept.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "kernels/types.h"

namespace vitsnna::train {

using kernels::index_t;

/// A run's state after some steps: tensors by name, and numbers and texts as metadata.
struct RunState {
  index_t steps = 0;  ///< done
  std::map<std::string, engine::HostTensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// A number of the metadata, as fmt's shortest text. Throws Error naming `where` and the key that
/// is missing or holds something else.
double number_in(const RunState& state, const std::string& key, const std::string& where);

class CheckpointStore {
 public:
  /// Makes the folder where it is missing. `keep` (at least 1) newest checkpoints stay.
  CheckpointStore(std::filesystem::path folder, index_t keep);

  /// Writes the state all or nothing, flushed to the disk, then removes what is older than the
  /// newest `keep` of this step and earlier ones. Throws Error naming the file; earlier checkpoints
  /// are then as they were.
  void save(const RunState& state);

  /// The newest checkpoint that can be read whole; none where there is no checkpoint. What had to
  /// be passed over, with the reason, is added to `problems`. Throws Error naming them where none
  /// of those that are there can be read: a run that began anew would overwrite them.
  std::optional<RunState> newest(std::vector<std::string>& problems) const;

  /// Writes one anywhere, all or nothing. Throws Error naming the file.
  static void write(const std::filesystem::path& file, const RunState& state);
  /// Reads one. Throws Error naming the file and what is wrong.
  static RunState read(const std::filesystem::path& file);

  /// Files by number of steps, oldest first.
  std::vector<std::filesystem::path> files() const;
  /// Where the state after so many steps is, or would be.
  std::filesystem::path file_of(index_t steps) const;

 private:
  std::filesystem::path folder_;
  index_t keep_;
};

}  // namespace vitsnna::train
