// Joins the processes that mpirun or srun started into one communicator. The only door to MPI.
#pragma once

#include <memory>

#include "train/parallel/communicator.h"

namespace vitsnna::train {

struct ParallelOptions {
  double beat_seconds = 1.;      ///< between signs of life
  double silence_seconds = 15.;  ///< without one, a rank is dead
  /// How long a rank may be late for an exchange that its neighbour has come to: more than the
  /// slowest thing that one rank does alone.
  double late_seconds = 1800.;
  /// How long one exchange that a rank has come to may take it, or one wait for its device (which
  /// may hold a sum over ranks): more than `late_seconds`, by which one that others are late for
  /// has ended.
  double stuck_seconds = 2400.;
  /// Most bytes of all ranks together that one message brings: MPI counts them as int.
  index_t message_bytes = index_t{1} << 30;
};

/// How many processes the launcher says it started (Open MPI, MPICH, Slurm); 1 where there is none.
int launched_ranks();

/// The run's communicator: a single process where nothing launched several. Throws Error where
/// several were launched and this build has no MPI, or they did not find each other. At most once
/// in a process; ends (waiting for the other ranks) with its owner.
std::unique_ptr<Communicator> connect(const ParallelOptions& options = {});

}  // namespace vitsnna::train
