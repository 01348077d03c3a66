// The stack machine that Python's pickles are programs for, reduced to what cannot do harm: it
// builds values in a PickleHeap, and calls nothing but the allow-list of pickle_globals.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/io/pickle_heap.h"

namespace vitsnna::engine {

/// Runs one pickle (protocols 2 to 5). Throws Error, with the byte it happened at, for an unknown
/// or unlisted opcode, an unlisted global, a truncated pickle, and use of values that are not
/// there.
class PickleMachine {
 public:
  PickleMachine(PickleHeap& heap, std::span<const std::byte> bytes) : heap_(heap), bytes_(bytes) {}

  /// Until STOP; returns the value it leaves.
  ValueId run();
  /// Bytes read: where the next pickle of the same file begins.
  std::size_t position() const { return position_; }

 private:
  [[noreturn]] void fail(const std::string& what) const;
  void step(unsigned opcode);
  bool step_number(unsigned opcode);
  bool step_text(unsigned opcode);
  bool step_container(unsigned opcode);
  bool step_memo(unsigned opcode);
  bool step_object(unsigned opcode);

  std::string_view take(std::uint64_t count);
  std::uint64_t take_unsigned(std::size_t width);
  std::string_view take_line();
  void advance(std::size_t count);

  void push(ValueId id) { stack_.push_back(id); }
  ValueId pop();
  ValueId top();
  std::vector<ValueId> pop_to_mark();
  ValueId pop_kind(PickleKind wanted);
  void push_tuple(std::size_t count);
  void push_text(PickleKind kind, std::uint64_t size);
  void push_long(std::uint64_t size);
  void append(std::vector<ValueId> items, bool pairs);
  void remember(std::uint64_t index);
  void recall(std::uint64_t index);

  PickleHeap& heap_;
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  std::vector<ValueId> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint64_t, ValueId> memo_;
};

}  // namespace vitsnna::engine
