// The processes ("ranks") of one training run, each with the whole model and its share of every
// batch, and what they tell each other. Calls that move data are collective: all ranks make the
// same ones in the same order. One thread of a process makes them.
//
//   run_guarded(communicator, [&] { ... });   // an Error on one rank ends all of them
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/queue.h"

namespace vitsnna::train {

using kernels::index_t;

class Communicator {
 public:
  Communicator() = default;
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Among the ranks of this machine: which of its GPUs to take, and how to share its cores.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  virtual std::string host() const = 0;
  /// How sums on this queue's memory travel: "none", "MPI", "MPI through host memory", "NCCL".
  virtual std::string_view transport() const = 0;

  /// Whether sums are work on the queue and nothing else, which a graph of it may hold. After
  /// open().
  virtual bool sums_on_queue() const = 0;

  /// Before sums on a queue's memory: on GPUs, makes NCCL's own communicator.
  virtual void open(engine::Queue& queue) = 0;
  /// Replaces `values`, fp32 device memory, by their sum over all ranks: the same bits on every
  /// rank and, for the same number of ranks, in every run. Starts once what is on the queue now has
  /// been done, and goes on beside what is put there later. The memory is the communicator's until
  /// finish_sums().
  virtual void start_sum(engine::Queue& queue, float* values, index_t count) = 0;
  /// What is put on the queue from here on sees the sums.
  virtual void finish_sums(engine::Queue& queue) = 0;

  /// Every rank's bytes, by rank, of any length each.
  virtual std::vector<std::vector<std::byte>> gather(std::span<const std::byte> bytes) = 0;
  /// Rank `root`'s bytes; as many on every rank.
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;
  virtual void barrier() = 0;

  /// Prints "rank R of N on HOST: reason" and ends the whole job with a non-zero status. Any thread
  /// may call it at any time.
  [[noreturn]] virtual void abort(const std::string& reason) noexcept = 0;
};

/// The one rank of a run that is not spread.
std::unique_ptr<Communicator> single_process();

/// The sums of `numbers` over the ranks, added in the order of ranks.
std::vector<double> sum_over_ranks(Communicator& communicator, std::span<const double> numbers);

/// Every rank's numbers, as many on each; by rank.
std::vector<std::vector<double>> gather_numbers(Communicator& communicator,
                                                std::span<const double> numbers);

/// Whether any rank says so: a signal that reached one of them stops all at the same step.
bool any_rank(Communicator& communicator, bool value);

/// Throws Error, on every rank, naming the first rank whose `value` is not rank 0's: the options
/// with which ranks were started, a digest of weights that must not drift apart.
void require_equal_ranks(Communicator& communicator, const std::string& what,
                         std::string_view value);

/// Runs `job`; what it throws ends all ranks through abort() where there are several, and is thrown
/// on where there is one.
void run_guarded(Communicator& communicator, const std::function<void()>& job);

/// The --device of one of several ranks of a machine where `gpus` are visible: for "auto" and
/// "cuda" the GPU of the rank's place, or the only one, which a launcher then chose; else `text` as
/// it is. Throws Error where a machine has more ranks than GPUs.
std::string device_of_rank(std::string_view text, int local_rank, int local_size, int gpus);

/// "rank R of N on HOST: reason".
std::string rank_message(int rank, int size, const std::string& host, const std::string& reason);

}  // namespace vitsnna::train
