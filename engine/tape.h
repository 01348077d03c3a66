// The tape of a forward pass: one record an op group (a block), pushed by the forward and popped,
// last first, by the backward, which gives its memory back as it goes.
#pragma once

#include <vector>

#include "engine/arena.h"

namespace vitsnna::engine {

/// `Record` holds the tensors that one op group kept. Records stay readable by index until popped:
/// the relevance chain walks them first to last after the backward has walked them last to first.
template <class Record>
class Tape {
 public:
  explicit Tape(Arena& arena) : arena_(&arena) {}

  Record& push() {
    entries_.push_back({Record{}, arena_->mark()});
    return entries_.back().record;
  }
  /// Drops the last record and everything allocated since it was pushed.
  void pop() {
    arena_->release(entries_.back().mark);
    entries_.pop_back();
  }

  index_t size() const { return static_cast<index_t>(entries_.size()); }
  Record& operator[](index_t position) {
    return entries_[static_cast<std::size_t>(position)].record;
  }
  const Record& operator[](index_t position) const {
    return entries_[static_cast<std::size_t>(position)].record;
  }
  Arena& arena() const { return *arena_; }

 private:
  struct Entry {
    Record record;
    index_t mark;
  };
  Arena* arena_;
  std::vector<Entry> entries_;
};

}  // namespace vitsnna::engine
