// Walks the arrays with their names.
#include "train/state_entries.h"

#include <fmt/format.h>

#include "kernels/error.h"

namespace vitsnna::train {
namespace {

index_t elements_of(const StateEntry& entry) {
  index_t elements = 1;
  for (const index_t extent : entry.shape) elements *= extent;
  return elements;
}

}  // namespace

void add_block(StateEntries& entries, const std::string& prefix, const model::Parameters& block) {
  for (const auto& entry : block.table().entries()) {
    entries.push_back({prefix + entry.name, entry.shape, block.data() + entry.offset});
  }
}

void add_optimizer(StateEntries& entries, const std::string& name, const OptimizerState& state) {
  add_block(entries, "first_moment/" + name, state.first_moment());
  add_block(entries, "second_moment/" + name, state.second_moment());
  const std::string moves =
      "moves/" + (name.ends_with('.') ? name.substr(0, name.size() - 1) : name);
  entries.push_back({moves, {state.segments()}, state.moves()});
}

void collect(engine::Queue& queue, const StateEntries& entries, Tensors& tensors) {
  for (const StateEntry& entry : entries) {
    std::vector<float> values(static_cast<std::size_t>(elements_of(entry)));
    queue.download(values.data(), entry.data, static_cast<index_t>(values.size()) * 4);
    queue.synchronize();
    tensors.insert_or_assign(entry.name, engine::HostTensor::from_floats(entry.shape, values));
  }
}

void restore(engine::Queue& queue, const StateEntries& entries, const Tensors& tensors,
             const std::string& where) {
  for (const StateEntry& entry : entries) {
    const auto found = tensors.find(entry.name);
    if (found == tensors.end()) throw Error(fmt::format("{}: no tensor {}", where, entry.name));
    if (found->second.shape != entry.shape) {
      throw Error(fmt::format("{}: tensor {} is {}, ({}) wanted", where, entry.name,
                              found->second.shape_text(), fmt::join(entry.shape, ", ")));
    }
  }
  for (const StateEntry& entry : entries) {
    const std::vector<float> values = tensors.at(entry.name).to_floats();
    queue.upload(entry.data, values.data(), elements_of(entry) * 4);
    queue.synchronize();
  }
}

Tensors download(engine::Queue& queue, const model::Parameters& parameters) {
  StateEntries entries;
  add_block(entries, "", parameters);
  Tensors tensors;
  collect(queue, entries, tensors);
  return tensors;
}

}  // namespace vitsnna::train
