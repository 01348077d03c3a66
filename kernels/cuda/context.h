// Opening and closing a queue: its stream, and what its ops keep between launches.
#pragma once

#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

/// A process computes on one GPU at a time: opening a queue on a second while queues are open on
/// the first is an Error, so that memory needs no device of its own.
void open(Queue& queue, int device);
void close(Queue& queue) noexcept;

}  // namespace vitsnna::kernels::cuda
