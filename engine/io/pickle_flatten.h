// A pickle's nested dicts as flat dotted names: {"teacher": {"norm.weight": T}} is
// "teacher.norm.weight".
#pragma once

#include <map>
#include <string>

#include "engine/io/pickle_heap.h"

namespace vitsnna::engine {

struct FlatPickle {
  std::map<std::string, ValueId> tensors;
  /// Numbers and strings as text; a list or tuple of such as one text, comma separated.
  std::map<std::string, std::string> values;
};

/// Throws Error for nesting beyond 64 levels, a key that is no string or number, and two values of
/// one name.
FlatPickle flatten(const PickleHeap& heap, ValueId root);

}  // namespace vitsnna::engine
