// Depth first with a stack of its own: the depth of the data is the file's choice.
#include "engine/io/pickle_flatten.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/io/printable.h"

namespace vitsnna::engine {
namespace {

constexpr std::size_t deepest_nesting = 64;
constexpr std::size_t most_visits_per_value = 4;  // values may be shared, but not to explode
constexpr std::size_t most_text = std::size_t{1} << 26;

struct Visit {
  ValueId id;
  std::size_t depth;
  std::string name;
};

bool is_scalar(PickleKind kind) {
  return kind == PickleKind::none || kind == PickleKind::boolean || kind == PickleKind::integer ||
         kind == PickleKind::real || kind == PickleKind::text;
}

bool is_sequence(PickleKind kind) {
  return kind == PickleKind::list || kind == PickleKind::tuple || kind == PickleKind::set;
}

class Flattener {
 public:
  explicit Flattener(const PickleHeap& heap) : heap_(heap) {}

  FlatPickle run(ValueId root) {
    const PickleKind kind = heap_.kind(root);
    if (kind != PickleKind::dict && kind != PickleKind::object) {
      heap_.fail(fmt::format("the file holds {}, a dict of tensors was wanted", name_of(kind)));
    }
    pending_.push_back({root, 0, ""});
    while (!pending_.empty()) {
      const Visit visit = std::move(pending_.back());
      pending_.pop_back();
      if (++visits_ > most_visits_per_value * heap_.size()) {
        heap_.fail("its values are nested in each other too often");
      }
      take(visit);
    }
    return std::move(flat_);
  }

 private:
  void take(const Visit& visit) {
    const PickleKind kind = heap_.kind(visit.id);
    if (kind == PickleKind::tensor) {
      if (!flat_.tensors.emplace(visit.name, visit.id).second) twice(visit.name);
    } else if (kind == PickleKind::dict || kind == PickleKind::object) {
      const auto& items = heap_.items(visit.id);
      for (std::size_t i = 0; i < items.size(); i += 2) {
        descend(visit, key_text(visit, items[i]), items[i + 1]);
      }
    } else if (is_sequence(kind)) {
      const auto& items = heap_.items(visit.id);
      if (std::all_of(items.begin(), items.end(),
                      [&](ValueId item) { return is_scalar(heap_.kind(item)); })) {
        std::vector<std::string> parts;
        for (const ValueId item : items) {
          parts.push_back(scalar_text(item));
          charge(parts.back().size() + 1);
        }
        keep(visit.name, fmt::format("{}", fmt::join(parts, ",")));
      } else {
        for (std::size_t i = 0; i < items.size(); ++i) descend(visit, std::to_string(i), items[i]);
      }
    } else if (is_scalar(kind)) {
      keep(visit.name, scalar_text(visit.id));
    }
    // Anything else (a class, a device, bytes) is inert and nobody's business.
  }

  void descend(const Visit& parent, const std::string& key, ValueId child) {
    if (parent.depth + 1 > deepest_nesting) {
      heap_.fail(fmt::format("its values are nested more than {} levels deep, at '{}'",
                             deepest_nesting, printable(parent.name, 40)));
    }
    std::string name = parent.depth == 0 ? key : parent.name + "." + key;
    charge(name.size());
    pending_.push_back({child, parent.depth + 1, std::move(name)});
    if (pending_.size() > most_visits_per_value * heap_.size()) {
      heap_.fail("its values are nested in each other too often");
    }
  }

  std::string key_text(const Visit& parent, ValueId key) const {
    if (is_scalar(heap_.kind(key))) return scalar_text(key);
    heap_.fail(fmt::format("a key in '{}' is {}, a string or a number was wanted",
                           printable(parent.name), name_of(heap_.kind(key))));
  }

  std::string scalar_text(ValueId id) const {
    switch (heap_.kind(id)) {
      case PickleKind::text:
        return heap_.text(id);
      case PickleKind::integer:
        return std::to_string(heap_.integer(id));
      case PickleKind::real:
        return fmt::format("{}", heap_.real(id));
      case PickleKind::boolean:
        return heap_.integer(id) != 0 ? "True" : "False";
      default:
        return "None";
    }
  }

  void keep(const std::string& name, std::string text) {
    charge(text.size());
    if (!flat_.values.emplace(name, std::move(text)).second) twice(name);
  }

  [[noreturn]] void twice(const std::string& name) const {
    heap_.fail(fmt::format("the name '{}' stands twice", printable(name)));
  }

  void charge(std::size_t text) {
    text_ += text;
    if (text_ > most_text) heap_.fail("its names are longer than a checkpoint's would be");
  }

  const PickleHeap& heap_;
  FlatPickle flat_;
  std::vector<Visit> pending_;
  std::size_t visits_ = 0;
  std::size_t text_ = 0;
};

}  // namespace

FlatPickle flatten(const PickleHeap& heap, ValueId root) { return Flattener(heap).run(root); }

}  // namespace vitsnna::engine
