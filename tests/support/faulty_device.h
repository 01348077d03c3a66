// A test device that fails on purpose: another backend's table, every call of which is counted and
// may be made to fail, over a memory as small as a test wants.
#pragma once

#include <string>
#include <string_view>

#include "kernels/backend.h"

namespace vitsnna::test {

using kernels::index_t;

/// What can fail. `memory` is an allocation that finds no room; the others are calls after which
/// the device is lost: every later call fails too, as on a GPU that fell off the bus.
enum class FaultPoint { none, memory, allocate, launch, copy, synchronize };

struct Fault {
  FaultPoint point = FaultPoint::none;
  index_t call = 1;   ///< which call of its kind fails, from 1
  bool once = false;  ///< that call alone (of `memory`); else every one from it on
};

struct FaultyDevice {
  Fault fault;
  index_t total_bytes = index_t{1} << 33;  ///< of device memory
  index_t hidden_bytes = 0;  ///< taken by others the moment that one has asked what is free
};

/// `base`'s table under `name`, with what faulty_device() says. One base a process.
const kernels::Backend& faulty_backend(const kernels::Backend& base, std::string_view name);

/// What the device does from now on. Read from the environment first:
///   VITSNNA_FAULT=<point>:<call>[:once], VITSNNA_FAULT_TOTAL=<bytes>,
///   VITSNNA_FAULT_HIDDEN=<bytes>, VITSNNA_FAULT_COUNTS=<file>, written when the process ends.
/// A process that ends with device memory not given back ends by SIGABRT.
FaultyDevice& faulty_device();

/// Calls of a point so far, and blocks of device memory that are out.
index_t calls_of(FaultPoint point);
index_t blocks_out();
void forget_calls();

}  // namespace vitsnna::test
