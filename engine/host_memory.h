// What a process has freed and its allocator still holds.
#pragma once

namespace vitsnna::engine {

/// Gives memory that was freed back to the system where the allocator can (glibc's keeps blocks of
/// some MiB, such as the tensors of a checkpoint that has been loaded).
void return_freed_memory();

}  // namespace vitsnna::engine
