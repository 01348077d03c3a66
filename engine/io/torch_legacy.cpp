// The legacy container, front to back.
#include "engine/io/torch_legacy.h"

#include <fmt/format.h>

#include <cstring>
#include <string_view>

#include "engine/io/pickle_machine.h"
#include "engine/io/printable.h"

namespace vitsnna::engine {
namespace {

using namespace std::string_view_literals;

// 0x1950a86a20f9469cfc6c and 1001, as torch/serialization.py has them.
constexpr std::string_view magic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;
constexpr std::int64_t version = 1001;

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, PickleHeap& heap) : bytes_(bytes), heap_(heap) {}

  TorchLegacy read() {
    const ValueId number = next_pickle();
    if (heap_.kind(number) != PickleKind::large_integer || heap_.text(number) != magic) {
      heap_.fail("is a pickle without PyTorch's magic number: not a checkpoint");
    }
    const ValueId found = next_pickle();
    if (heap_.kind(found) != PickleKind::integer || heap_.integer(found) != version) {
      heap_.fail(fmt::format("its legacy format is of another version, {} was wanted", version));
    }
    check_byte_order(next_pickle());
    TorchLegacy file;
    file.root = next_pickle();
    read_storages(file, next_pickle());
    return file;
  }

 private:
  ValueId next_pickle() {
    PickleMachine machine(heap_, bytes_.subspan(position_));
    const ValueId value = machine.run();
    position_ += machine.position();
    return value;
  }

  void check_byte_order(ValueId info) const {
    if (heap_.kind(info) == PickleKind::dict) {
      const auto& items = heap_.items(info);
      for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
        if (heap_.kind(items[i]) == PickleKind::text && heap_.text(items[i]) == "little_endian" &&
            heap_.kind(items[i + 1]) == PickleKind::boolean && heap_.integer(items[i + 1]) == 1) {
          return;
        }
      }
    }
    heap_.fail("does not say that it is little-endian");
  }

  // Elements and their size are only in the object: every storage that it refers to, by key.
  std::map<std::string_view, TorchStorage> known_storages() const {
    std::map<std::string_view, TorchStorage> known;
    for (ValueId id = 0; id < heap_.size(); ++id) {
      if (heap_.kind(id) != PickleKind::storage) continue;
      const TorchStorage& storage = heap_.storage(id);
      const auto [place, is_new] = known.emplace(storage.key, storage);
      if (!is_new && (place->second.elements != storage.elements ||
                      size_of(place->second.type) != size_of(storage.type))) {
        heap_.fail(fmt::format("storage '{}' is described in two ways", printable(storage.key)));
      }
    }
    return known;
  }

  void read_storages(TorchLegacy& file, ValueId keys) {
    if (heap_.kind(keys) != PickleKind::list) heap_.fail("holds no list of its storages");
    const auto known = known_storages();
    for (const ValueId key : heap_.items(keys)) {
      if (heap_.kind(key) != PickleKind::text) heap_.fail("a storage's key is no string");
      const std::string& name = heap_.text(key);
      const auto found = known.find(name);
      if (found == known.end()) {
        heap_.fail(fmt::format("storage '{}' belongs to no tensor", printable(name)));
      }
      if (!file.storages.emplace(name, take(found->second)).second) {
        heap_.fail(fmt::format("storage '{}' stands twice", printable(name)));
      }
    }
    for (const auto& [name, storage] : known) {
      if (!file.storages.contains(std::string(name))) {
        heap_.fail(fmt::format("storage '{}' is not in the file", printable(name)));
      }
    }
    if (position_ != bytes_.size()) {
      heap_.fail(
          fmt::format("{} bytes are left after the last storage", bytes_.size() - position_));
    }
  }

  // Eight bytes of element count, then the elements.
  std::span<const std::byte> take(const TorchStorage& storage) {
    std::int64_t elements = 0;
    const std::size_t left = bytes_.size() - position_;
    if (left < sizeof elements) {
      heap_.fail(fmt::format("is truncated before storage '{}'", printable(storage.key)));
    }
    std::memcpy(&elements, bytes_.data() + position_, sizeof elements);
    if (elements != storage.elements) {
      heap_.fail(fmt::format("storage '{}' has {} elements, the object says {}",
                             printable(storage.key), elements, storage.elements));
    }
    const auto size = static_cast<std::size_t>(elements * size_of(storage.type));
    if (size > left - sizeof elements) {
      heap_.fail(fmt::format("is truncated in storage '{}': {} of {} bytes are there",
                             printable(storage.key), left - sizeof elements, size));
    }
    position_ += sizeof elements + size;
    return bytes_.subspan(position_ - size, size);
  }

  std::span<const std::byte> bytes_;
  PickleHeap& heap_;
  std::size_t position_ = 0;
};

}  // namespace

TorchLegacy read_torch_legacy(std::span<const std::byte> bytes, PickleHeap& heap) {
  return Reader(bytes, heap).read();
}

}  // namespace vitsnna::engine
