// The allow-list: every Python class and function that a checkpoint may name, and what each makes
// here. Nothing else of Python exists.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "engine/io/pickle_heap.h"

namespace vitsnna::engine {

/// Index into the list; fails naming the global when it is not there.
std::size_t find_global(const PickleHeap& heap, std::string_view module, std::string_view name);

/// What `global(*arguments)` makes (REDUCE): a tensor from a storage, a dict, a number.
ValueId call_global(PickleHeap& heap, std::size_t global, const std::vector<ValueId>& arguments);

/// What `global.__new__(global, *arguments)` makes (NEWOBJ): a Namespace, without arguments.
ValueId new_object(PickleHeap& heap, std::size_t global, const std::vector<ValueId>& arguments);

/// Gives `target` its state (BUILD): a Namespace its attributes, a numpy type its byte order.
void build_object(PickleHeap& heap, ValueId target, ValueId state);

/// The storage that a persistent id (BINPERSID) refers to.
ValueId load_persistent(PickleHeap& heap, ValueId id);

}  // namespace vitsnna::engine
