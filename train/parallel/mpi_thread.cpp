// Exchanges one after the other, beats beside them.
#include "train/parallel/mpi_thread.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

#include "train/parallel/awake_clock.h"

namespace vitsnna::train {
namespace {

using std::chrono::microseconds;

/// An idle thread looks after the beats this often.
constexpr microseconds kIdle{50'000};
/// While it waits for a request it asks often at first, then more and more rarely, so that ranks
/// that share cores leave them to each other.
constexpr int kAskedAtOnce = 200;
constexpr microseconds kShortest{20}, kLongest{1000};

std::string host_name() {
  char name[MPI_MAX_PROCESSOR_NAME + 1] = {};
  int length = 0;
  MPI_Get_processor_name(name, &length);
  return name;
}

}  // namespace

MpiThread::MpiThread(const ParallelOptions& options) : options_(options) {
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  if (size_ > 1) {
    beats_ = std::make_unique<MpiBeats>(
        MPI_COMM_WORLD, options,
        [this](int rank, const std::string& reason) { abort(rank, reason); });
  }
  thread_ = std::thread([this] { run(); });
}

MpiThread::~MpiThread() {
  // The last exchange: behind it nobody will need an alarm.
  post([](MpiThread& self) {
    self.wait([](MPI_Request* request) { MPI_Ibarrier(MPI_COMM_WORLD, request); });
  });
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MpiThread::post(Exchange exchange) {
  ++entered_;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(exchange));
  }
  changed_.notify_all();
}

void MpiThread::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !busy_; });
}

void MpiThread::set_check(std::function<std::string()> check) {
  const std::lock_guard lock(mutex_);
  check_ = std::move(check);
}

void MpiThread::tick() {
  std::string problem;
  {
    const std::lock_guard lock(mutex_);
    if (check_) problem = check_();
  }
  if (!problem.empty()) abort(rank_, problem);
  if (!beats_) return;
  const std::lock_guard lock(mpi_);
  beats_->tick(entered_);
}

void MpiThread::wait_for(MPI_Request& request) {
  AwakeClock awake;
  microseconds pause = kShortest;
  for (long asked = 0;; ++asked) {
    int done = 0;
    {
      const std::lock_guard lock(mpi_);
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    }
    if (done) return;
    if (asked < kAskedAtOnce) {
      std::this_thread::yield();
      continue;
    }
    tick();
    if (awake.seconds() > options_.stuck_seconds) {
      abort(rank_, fmt::format("in one exchange between ranks for {:.0f} s, which does not end",
                               options_.stuck_seconds));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongest);
  }
}

void MpiThread::end_beats() {
  for (bool done = !beats_; !done;) {
    {
      const std::lock_guard lock(mpi_);
      done = beats_->finish();
    }
    if (!done) std::this_thread::sleep_for(kLongest);
  }
}

void MpiThread::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait_for(lock, kIdle, [this] { return ending_ || !queue_.empty(); });
    if (!queue_.empty()) {
      const Exchange exchange = std::move(queue_.front());
      queue_.pop_front();
      busy_ = true;
      lock.unlock();
      try {
        exchange(*this);
      } catch (const std::exception& error) {
        abort(rank_, error.what());
      }
      tick();
      lock.lock();
      busy_ = false;
      changed_.notify_all();
    } else if (ending_) {
      break;
    } else {
      lock.unlock();
      tick();
      lock.lock();
    }
  }
  lock.unlock();
  end_beats();
}

void MpiThread::abort(int rank, const std::string& reason) noexcept {
  // Another thread's call into MPI is short; should it hang, the job ends all the same.
  const std::unique_lock lock(mpi_, std::chrono::seconds(1));
  // In one write, so that ranks that fail together do not mix their lines.
  std::string line;
  try {
    line = rank_message(rank, size_, rank == rank_ ? host_name() : "its host", reason);
    if (rank != rank_) line += " (noticed by rank " + std::to_string(rank_) + ")";
    line += '\n';
  } catch (...) {
    line = "a rank failed\n";
  }
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, 1);
  std::_Exit(1);
}

}  // namespace vitsnna::train
