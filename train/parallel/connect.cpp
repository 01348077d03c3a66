// Whether several processes were launched, and MPI for them where it was built in.
#include "train/parallel/connect.h"

#include <fmt/format.h>

#include <cstdlib>

#include "kernels/error.h"
#ifdef VITSNNA_HAVE_MPI
#include "train/parallel/mpi_communicator.h"
#endif

namespace vitsnna::train {

int launched_ranks() {
  // Open MPI's mpirun; MPICH's and srun --mpi=pmi2; a step of srun, which a batch script is not.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const char* text = std::getenv(name);
    if (text && std::atoi(text) > 0) return std::atoi(text);
  }
  return 1;
}

std::unique_ptr<Communicator> connect(const ParallelOptions& options) {
  const int launched = launched_ranks();
  if (launched == 1) return single_process();
#ifdef VITSNNA_HAVE_MPI
  std::unique_ptr<Communicator> communicator = connect_mpi(options);
  if (communicator->size() == launched) return communicator;
  throw Error(
      fmt::format("{} processes were launched, MPI knows of {}: launch with the mpirun of the MPI "
                  "that this build uses, or srun --mpi=pmix",
                  launched, communicator->size()));
#else
  (void)options;
  throw Error(fmt::format(
      "{} processes were launched and this build has no MPI: 1 process, or a build with MPI "
      "(libopenmpi-dev) wanted",
      launched));
#endif
}

}  // namespace vitsnna::train
