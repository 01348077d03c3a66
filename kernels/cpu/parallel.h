// Runs independent tasks on the queue's OpenMP team: no task's result may depend on which thread
// runs it or when.
#pragma once

#include <omp.h>

#include <exception>

#include "kernels/queue.h"

namespace vitsnna::kernels::cpu {

/// While alive, this thread starts OpenMP regions of one thread: oneDNN then neither starts threads
/// of its own nor lets their number shape its blocking.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

/// body(task, thread) for every task < tasks, thread < queue.num_threads. The first exception is
/// rethrown here once every thread has stopped.
template <class Body>
void parallel_for(const Queue& queue, index_t tasks, const Body& body) {
  if (queue.num_threads <= 1 || tasks <= 1) {
    const OneThread one_thread;
    for (index_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel num_threads(queue.num_threads)
  {
    const OneThread one_thread;
    const int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
    for (index_t task = 0; task < tasks; ++task) {
      try {
        body(task, thread);
      } catch (...) {
#pragma omp critical(vitsnna_parallel_for_failure)
        if (!failure) failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace vitsnna::kernels::cpu
