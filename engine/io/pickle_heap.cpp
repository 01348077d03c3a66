// The tables, and the budget: a file that repeats one large value by reference must not turn a few
// kilobytes into gigabytes.
#include "engine/io/pickle_heap.h"

#include <fmt/format.h>

#include <bit>
#include <utility>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

// PyTorch's own pickles use about one cell in three bytes; no honest one comes near these.
constexpr std::size_t cells_per_byte = 4;
constexpr std::size_t text_per_byte = 2;
constexpr std::size_t free_allowance = 4096;
constexpr std::size_t most_cells = std::size_t{1} << 24;

constexpr const char* kind_names[] = {
    "None",    "a bool",       "an integer",      "an integer", "a float",        "a string",
    "bytes",   "a list",       "a tuple",         "a set",      "a dict",         "a Namespace",
    "a class", "a numpy type", "a torch storage", "a tensor",   "an opaque value"};

}  // namespace

const char* name_of(PickleKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

void PickleHeap::fail(const std::string& what) const {
  throw Error(fmt::format("{}: {}", printable(path_, 1000), what));
}

void PickleHeap::charge(std::size_t cells, std::size_t text_bytes) {
  cells_ += cells;
  text_bytes_ += text_bytes;
  if (cells_ > most_cells || cells_ > free_allowance + cells_per_byte * consumed_ ||
      text_bytes_ > free_allowance + text_per_byte * consumed_) {
    fail(fmt::format("the pickle's first {} bytes make more values than a checkpoint would",
                     consumed_));
  }
}

ValueId PickleHeap::add_value(PickleKind kind, std::int64_t payload) {
  charge(1, 0);
  values_.push_back({kind, payload});
  return static_cast<ValueId>(values_.size() - 1);
}

ValueId PickleHeap::add(PickleKind kind, std::int64_t payload) { return add_value(kind, payload); }

ValueId PickleHeap::add_real(double value) {
  return add_value(PickleKind::real, std::bit_cast<std::int64_t>(value));
}

ValueId PickleHeap::add_text(PickleKind kind, std::string text) {
  charge(0, text.size());
  texts_.push_back(std::move(text));
  return add_value(kind, static_cast<std::int64_t>(texts_.size() - 1));
}

ValueId PickleHeap::add_items(PickleKind kind, std::vector<ValueId> items) {
  charge(items.size(), 0);
  items_.push_back(std::move(items));
  return add_value(kind, static_cast<std::int64_t>(items_.size() - 1));
}

ValueId PickleHeap::add_storage(TorchStorage storage) {
  charge(0, storage.key.size());
  storages_.push_back(std::move(storage));
  return add_value(PickleKind::storage, static_cast<std::int64_t>(storages_.size() - 1));
}

ValueId PickleHeap::add_tensor(TorchTensor tensor) {
  charge(tensor.shape.size() + tensor.strides.size(), tensor.storage.key.size());
  tensors_.push_back(std::move(tensor));
  return add_value(PickleKind::tensor, static_cast<std::int64_t>(tensors_.size() - 1));
}

void PickleHeap::append(ValueId container, const ValueId* items, std::size_t count) {
  charge(count, 0);
  auto& list = items_[static_cast<std::size_t>(values_[container].payload)];
  list.insert(list.end(), items, items + count);
}

double PickleHeap::real(ValueId id) const { return std::bit_cast<double>(values_[id].payload); }

const std::string& PickleHeap::text(ValueId id) const {
  return texts_[static_cast<std::size_t>(values_[id].payload)];
}

const std::vector<ValueId>& PickleHeap::items(ValueId id) const {
  return items_[static_cast<std::size_t>(values_[id].payload)];
}

std::size_t PickleHeap::global(ValueId id) const {
  return static_cast<std::size_t>(values_[id].payload);
}

const TorchStorage& PickleHeap::storage(ValueId id) const {
  return storages_[static_cast<std::size_t>(values_[id].payload)];
}

const TorchTensor& PickleHeap::tensor(ValueId id) const {
  return tensors_[static_cast<std::size_t>(values_[id].payload)];
}

}  // namespace vitsnna::engine
