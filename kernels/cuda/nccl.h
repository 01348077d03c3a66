// Sums over the GPUs of several processes by NCCL, on a stream of their own. The library is opened
// at run time: a binary starts where it is not.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/queue.h"

namespace vitsnna::kernels::cuda {

constexpr std::size_t kNcclIdBytes = 128;

/// Why NCCL cannot be used; empty where it can.
std::string nccl_problem();

/// What rank 0 makes and every rank gives to its Nccl. Throws Error with NCCL's own text.
std::vector<std::byte> new_nccl_id();

class Nccl {
 public:
  /// Waits for all `ranks`. On the GPU of the queue.
  Nccl(const Queue& queue, std::span<const std::byte> id, int rank, int ranks);
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  /// values = sum over ranks, after what is on the queue now and beside what comes later. Events
  /// and a second stream, nothing else: a captured step may hold it.
  void start_sum(const Queue& queue, float* values, index_t count);
  /// What the queue gets from now on runs after the sums.
  void finish_sums(const Queue& queue);

  /// What went wrong on its stream since, by any thread; empty where nothing did.
  std::string problem() const noexcept;

  /// By any thread: sums that wait for other ranks stop waiting, and no other is started. Returns
  /// soon, done or not: what follows is the end of the process.
  void abort() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitsnna::kernels::cuda
