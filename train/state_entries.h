// A training's state on the device as named arrays, and the way of all of them to a checkpoint and
// back.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "train/optimizer_state.h"

namespace vitsnna::train {

using Tensors = std::map<std::string, engine::HostTensor>;

/// One fp32 array in device memory.
struct StateEntry {
  std::string name;
  std::vector<index_t> shape;
  float* data = nullptr;
};
using StateEntries = std::vector<StateEntry>;

/// Every parameter of the block as <prefix><parameter>.
void add_block(StateEntries& entries, const std::string& prefix, const model::Parameters& block);
/// first_moment/<name><parameter>, second_moment/<name><parameter> and moves/<name>, the last
/// without the dot that `name` may end with.
void add_optimizer(StateEntries& entries, const std::string& name, const OptimizerState& state);

/// Adds the arrays to `tensors` under their names.
void collect(engine::Queue& queue, const StateEntries& entries, Tensors& tensors);

/// Sets the arrays to what collect() found, to the bit. Throws Error naming `where` and the tensor
/// that is missing or of another shape; nothing has changed then.
void restore(engine::Queue& queue, const StateEntries& entries, const Tensors& tensors,
             const std::string& where);

/// A block of parameters under their own names.
Tensors download(engine::Queue& queue, const model::Parameters& parameters);

}  // namespace vitsnna::train
