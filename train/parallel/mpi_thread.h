// The thread of a process that talks to MPI: exchanges queued for it run one after the other, so
// that they make progress while other threads compute, and nothing waits without watching.
#pragma once

#include <mpi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "train/parallel/connect.h"
#include "train/parallel/mpi_beats.h"

namespace vitsnna::train {

class MpiThread {
 public:
  /// Runs on the thread; waits for requests with wait() alone.
  using Exchange = std::function<void(MpiThread&)>;

  /// Of MPI_COMM_WORLD, after MPI_Init_thread.
  explicit MpiThread(const ParallelOptions& options);
  /// Runs what is queued, then waits for the other ranks' threads to end too.
  ~MpiThread();
  MpiThread(const MpiThread&) = delete;
  MpiThread& operator=(const MpiThread&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Queues an exchange; the same ones in the same order on every rank.
  void post(Exchange exchange);
  /// Until all that was posted has run.
  void drain();
  /// A check that the thread makes every beat; what it returns, unless empty, ends the job.
  void set_check(std::function<std::string()> check);

  /// On the thread: starts a non-blocking call and waits for its end.
  template <class Start>
  void wait(const Start& start) {
    MPI_Request request = MPI_REQUEST_NULL;
    {
      const std::lock_guard lock(mpi_);
      start(&request);
    }
    wait_for(request);
  }

  /// Any thread.
  [[noreturn]] void abort(int rank, const std::string& reason) noexcept;

 private:
  void run();
  void wait_for(MPI_Request& request);
  void tick();
  void end_beats();

  ParallelOptions options_;
  int rank_ = 0, size_ = 1;
  std::recursive_timed_mutex mpi_;  ///< MPI_THREAD_SERIALIZED: one thread inside MPI at a time
  std::unique_ptr<MpiBeats> beats_;
  std::atomic<long> entered_{0};

  std::mutex mutex_;  ///< of what follows
  std::condition_variable changed_;
  std::deque<Exchange> queue_;
  std::function<std::string()> check_;
  bool busy_ = false, ending_ = false;
  std::thread thread_;
};

}  // namespace vitsnna::train
