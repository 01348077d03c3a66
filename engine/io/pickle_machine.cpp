// Opcodes, in groups; names and meaning as in Python's pickletools.
#include "engine/io/pickle_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "engine/io/pickle_globals.h"
#include "engine/io/printable.h"

namespace vitsnna::engine {
namespace {

constexpr std::size_t deepest_marks = 256;
constexpr std::size_t longest_line = 256;  // of a global's module or name
constexpr std::size_t most_arguments = 16;
constexpr unsigned stop = '.';

}  // namespace

void PickleMachine::fail(const std::string& what) const {
  heap_.fail(fmt::format("pickle byte {}: {}", position_, what));
}

ValueId PickleMachine::run() {
  while (true) {
    const auto opcode = static_cast<unsigned>(take_unsigned(1));
    if (opcode == stop) break;
    step(opcode);
  }
  if (!marks_.empty()) fail("STOP inside an open mark");
  const ValueId result = pop();
  if (!stack_.empty()) fail("STOP with values left on the stack");
  return result;
}

void PickleMachine::step(unsigned opcode) {
  switch (opcode) {
    case 0x80: {  // PROTO
      const std::uint64_t protocol = take_unsigned(1);
      if (protocol < 2 || protocol > 5) {
        fail(fmt::format("protocol {} is not read (2 to 5 are)", protocol));
      }
      return;
    }
    case 0x95:  // FRAME: a hint for buffering
      if (take_unsigned(8) > bytes_.size() - position_) fail("a frame is longer than the pickle");
      return;
    case '(':  // MARK
      if (marks_.size() >= deepest_marks) {
        fail(fmt::format("nested deeper than {} levels", deepest_marks));
      }
      marks_.push_back(stack_.size());
      return;
    case '0':  // POP
      if (!marks_.empty() && marks_.back() == stack_.size()) {
        marks_.pop_back();
      } else {
        pop();
      }
      return;
    case '1':  // POP_MARK
      pop_to_mark();
      return;
    case '2':  // DUP
      push(top());
      return;
    default:
      if (step_number(opcode) || step_text(opcode) || step_container(opcode) || step_memo(opcode) ||
          step_object(opcode)) {
        return;
      }
      fail(opcode >= 0x20 && opcode < 0x7F
               ? fmt::format("opcode '{}' (0x{:02x}) is not one that a checkpoint uses",
                             static_cast<char>(opcode), opcode)
               : fmt::format("opcode 0x{:02x} is not one that a checkpoint uses", opcode));
  }
}

bool PickleMachine::step_number(unsigned opcode) {
  switch (opcode) {
    case 'N':  // NONE
      push(heap_.add(PickleKind::none));
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push(heap_.add(PickleKind::boolean, opcode == 0x88 ? 1 : 0));
      return true;
    case 'K':  // BININT1
    case 'M':  // BININT2
      push(heap_.add(PickleKind::integer,
                     static_cast<std::int64_t>(take_unsigned(opcode == 'K' ? 1 : 2))));
      return true;
    case 'J':  // BININT
      push(heap_.add(PickleKind::integer, static_cast<std::int32_t>(take_unsigned(4))));
      return true;
    case 0x8A:  // LONG1
      push_long(take_unsigned(1));
      return true;
    case 0x8B:  // LONG4
      push_long(take_unsigned(4));
      return true;
    case 'G': {  // BINFLOAT, big-endian
      std::uint64_t bits = 0;
      for (const char byte : take(8)) bits = (bits << 8) | static_cast<unsigned char>(byte);
      push(heap_.add_real(std::bit_cast<double>(bits)));
      return true;
    }
    default:
      return false;
  }
}

bool PickleMachine::step_text(unsigned opcode) {
  switch (opcode) {
    case 0x8C:  // SHORT_BINUNICODE
      push_text(PickleKind::text, take_unsigned(1));
      return true;
    case 'X':  // BINUNICODE
      push_text(PickleKind::text, take_unsigned(4));
      return true;
    case 0x8D:  // BINUNICODE8
      push_text(PickleKind::text, take_unsigned(8));
      return true;
    case 'C':  // SHORT_BINBYTES
      push_text(PickleKind::bytes, take_unsigned(1));
      return true;
    case 'B':  // BINBYTES
      push_text(PickleKind::bytes, take_unsigned(4));
      return true;
    case 0x8E:  // BINBYTES8
      push_text(PickleKind::bytes, take_unsigned(8));
      return true;
    case 'U':  // SHORT_BINSTRING: Python 2's str, for us a name
      push_text(PickleKind::text, take_unsigned(1));
      return true;
    case 'T':  // BINSTRING
      push_text(PickleKind::text, take_unsigned(4));
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_container(unsigned opcode) {
  switch (opcode) {
    case ')':  // EMPTY_TUPLE
      push(heap_.add_items(PickleKind::tuple, {}));
      return true;
    case ']':  // EMPTY_LIST
      push(heap_.add_items(PickleKind::list, {}));
      return true;
    case '}':  // EMPTY_DICT
      push(heap_.add_items(PickleKind::dict, {}));
      return true;
    case 0x8F:  // EMPTY_SET
      push(heap_.add_items(PickleKind::set, {}));
      return true;
    case 0x85:  // TUPLE1
    case 0x86:  // TUPLE2
    case 0x87:  // TUPLE3
      push_tuple(opcode - 0x84);
      return true;
    case 't':  // TUPLE
      push(heap_.add_items(PickleKind::tuple, pop_to_mark()));
      return true;
    case 'l':  // LIST
      push(heap_.add_items(PickleKind::list, pop_to_mark()));
      return true;
    case 0x91:  // FROZENSET
      push(heap_.add_items(PickleKind::set, pop_to_mark()));
      return true;
    case 'd': {  // DICT
      std::vector<ValueId> items = pop_to_mark();
      if (items.size() % 2 != 0) fail("a dict has a key without a value");
      push(heap_.add_items(PickleKind::dict, std::move(items)));
      return true;
    }
    case 'a':  // APPEND
      append({pop()}, false);
      return true;
    case 'e':   // APPENDS
    case 0x90:  // ADDITEMS
      append(pop_to_mark(), false);
      return true;
    case 's': {  // SETITEM
      const ValueId value = pop();
      const ValueId key = pop();
      append({key, value}, true);
      return true;
    }
    case 'u':  // SETITEMS
      append(pop_to_mark(), true);
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_memo(unsigned opcode) {
  switch (opcode) {
    case 'q':  // BINPUT
      remember(take_unsigned(1));
      return true;
    case 'r':  // LONG_BINPUT
      remember(take_unsigned(4));
      return true;
    case 0x94:  // MEMOIZE
      remember(memo_.size());
      return true;
    case 'h':  // BINGET
      recall(take_unsigned(1));
      return true;
    case 'j':  // LONG_BINGET
      recall(take_unsigned(4));
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_object(unsigned opcode) {
  switch (opcode) {
    case 'c': {  // GLOBAL
      const std::string_view module = take_line();
      const std::string_view name = take_line();
      push(heap_.add(PickleKind::global,
                     static_cast<std::int64_t>(find_global(heap_, module, name))));
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const ValueId name = pop_kind(PickleKind::text);
      const ValueId module = pop_kind(PickleKind::text);
      push(heap_.add(PickleKind::global, static_cast<std::int64_t>(find_global(
                                             heap_, heap_.text(module), heap_.text(name)))));
      return true;
    }
    case 'R':     // REDUCE
    case 0x81: {  // NEWOBJ
      const ValueId tuple = pop_kind(PickleKind::tuple);
      if (heap_.items(tuple).size() > most_arguments) fail("a call has too many arguments");
      const std::vector<ValueId> arguments = heap_.items(tuple);
      const std::size_t global = heap_.global(pop_kind(PickleKind::global));
      push(opcode == 'R' ? call_global(heap_, global, arguments)
                         : new_object(heap_, global, arguments));
      return true;
    }
    case 'b': {  // BUILD
      const ValueId state = pop();
      build_object(heap_, top(), state);
      return true;
    }
    case 'Q':  // BINPERSID
      push(load_persistent(heap_, pop()));
      return true;
    default:
      return false;
  }
}

std::string_view PickleMachine::take(std::uint64_t count) {
  if (count > bytes_.size() - position_) {
    fail(fmt::format("the pickle is truncated: {} bytes were wanted, {} are left", count,
                     bytes_.size() - position_));
  }
  const auto* begin = reinterpret_cast<const char*>(bytes_.data() + position_);
  advance(count);
  return {begin, count};
}

std::uint64_t PickleMachine::take_unsigned(std::size_t width) {
  const std::string_view bytes = take(width);
  std::uint64_t value = 0;
  for (std::size_t i = width; i-- > 0;) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string_view PickleMachine::take_line() {
  const std::size_t limit = std::min(longest_line, bytes_.size() - position_);
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data() + position_), limit);
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) fail("a global's name does not end");
  advance(end + 1);
  return rest.substr(0, end);
}

void PickleMachine::advance(std::size_t count) {
  position_ += count;
  heap_.consume(count);
}

ValueId PickleMachine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("the stack is empty");
  return stack_.back();
}

ValueId PickleMachine::pop() {
  const ValueId id = top();
  stack_.pop_back();
  return id;
}

ValueId PickleMachine::pop_kind(PickleKind wanted) {
  const ValueId id = pop();
  if (heap_.kind(id) != wanted) {
    fail(
        fmt::format("{} was wanted, the stack holds {}", name_of(wanted), name_of(heap_.kind(id))));
  }
  return id;
}

std::vector<ValueId> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("there is no mark");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<ValueId> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void PickleMachine::push_tuple(std::size_t count) {
  std::vector<ValueId> items(count);
  for (std::size_t i = count; i-- > 0;) items[i] = pop();
  push(heap_.add_items(PickleKind::tuple, std::move(items)));
}

void PickleMachine::push_text(PickleKind kind, std::uint64_t size) {
  const std::string_view bytes = take(size);
  if (kind == PickleKind::text && !is_utf8(bytes)) {
    fail(fmt::format("a string is not UTF-8: '{}'", printable(bytes, 40)));
  }
  push(heap_.add_text(kind, std::string(bytes)));
}

// Two's complement, little-endian, any number of bytes.
void PickleMachine::push_long(std::uint64_t size) {
  const std::string_view bytes = take(size);
  if (size > 8) {
    push(heap_.add_text(PickleKind::large_integer, std::string(bytes)));
    return;
  }
  const bool negative = size > 0 && (static_cast<unsigned char>(bytes.back()) & 0x80u) != 0;
  std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = size; i-- > 0;) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  push(heap_.add(PickleKind::integer, static_cast<std::int64_t>(value)));
}

void PickleMachine::append(std::vector<ValueId> items, bool pairs) {
  const ValueId target = top();
  const PickleKind kind = heap_.kind(target);
  const bool fits =
      pairs ? kind == PickleKind::dict : kind == PickleKind::list || kind == PickleKind::set;
  if (!fits) fail(fmt::format("items are added to {}", name_of(kind)));
  if (pairs && items.size() % 2 != 0) fail("a dict has a key without a value");
  heap_.append(target, items.data(), items.size());
}

void PickleMachine::remember(std::uint64_t index) { memo_[index] = top(); }

void PickleMachine::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) fail(fmt::format("memo {} was never written", index));
  push(found->second);
}

}  // namespace vitsnna::engine
