// Ranks joined by MPI. No MPI type leaves this folder's .cpp files and mpi_*.h.
#pragma once

#include <memory>

#include "train/parallel/connect.h"

namespace vitsnna::train {

/// MPI_COMM_WORLD as a communicator; MPI_Init now, MPI_Finalize with its owner.
std::unique_ptr<Communicator> connect_mpi(const ParallelOptions& options);

}  // namespace vitsnna::train
