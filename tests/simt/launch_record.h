// What launchers ask for, noted while a program runs: block size and shared memory by kernel. Only
// launchers know them, and what fits on an SM follows from them.
#pragma once

#include <type_traits>
#include <typeinfo>

namespace vitsnna::simt {

/// Whether VITSNNA_SIMT_LAUNCHES names a file: launches are then noted there, and nothing that is
/// put on a queue runs, so that real sizes cost nothing.
bool notes_launches();

/// Notes a launch of the kernel that `kernel` (a KernelTag) stands for. The file, written when the
/// program ends, has a line for each kernel, block size and shared memory.
void record_launch(const std::type_info& kernel, int threads, int shared_bytes);

template <auto kernel>
using KernelTag = std::integral_constant<decltype(kernel), kernel>;

}  // namespace vitsnna::simt
