// One mutex, one condition: a task is there, or none is.
#include "engine/pipeline.h"

#include <signal.h>

namespace vitsnna::engine {
namespace {

/// Signals go to the threads that were there before: a lane inherits a mask that holds all back.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  sigset_t before_ = {};
};

}  // namespace

Lane::~Lane() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Lane::wait(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [&] { return !busy_; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Lane::start(std::function<void()> task) {
  std::unique_lock lock(mutex_);
  wait(lock);
  if (!thread_.joinable()) {
    const SignalsHeld held;
    thread_ = std::thread([this] { run(); });
  }
  task_ = std::move(task);
  busy_ = true;
  changed_.notify_all();
}

void Lane::finish() {
  std::unique_lock lock(mutex_);
  wait(lock);
}

void Lane::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return task_ || ending_; });
    if (!task_) return;
    std::function<void()> task = std::exchange(task_, nullptr);
    lock.unlock();
    std::exception_ptr error;
    try {
      task();
    } catch (...) {
      error = std::current_exception();
    }
    task = nullptr;
    lock.lock();
    error_ = std::move(error);
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace vitsnna::engine
