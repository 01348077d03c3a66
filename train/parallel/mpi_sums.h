// The sum over ranks in a fixed order.
#pragma once

#include <vector>

#include "train/parallel/mpi_thread.h"

namespace vitsnna::train {

/// Sums host memory in place. Rank r gets everybody's r-th part, adds them up in double in the
/// order of ranks, rounds once, and hands the result to everybody: two transfers of (n - 1) / n of
/// the bytes, as a ring takes, and bits that depend on no choice of MPI's.
class MpiSums {
 public:
  /// On the thread.
  void sum(MpiThread& thread, float* values, index_t count);

 private:
  void sum_piece(MpiThread& thread, float* values, int count);
  std::vector<float> parts_;  ///< by rank
};

}  // namespace vitsnna::train
