// Runs a program as several ranks, as a user does with mpirun.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/cli/run_binary.h"

namespace vitsnna::test {

/// `mpiexec -n RANKS program arguments`. Skip the test first where there is none.
inline Outcome launch(int ranks, const std::string& program, std::vector<std::string> arguments) {
  // More ranks than cores, as root in a container: both are a test's, not a user's.
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"}) {
    setenv(name, "1", 1);
  }
  setenv("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe", 1);
  // Containers may forbid one process to read another's memory.
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 1);
  setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
  setenv("OMP_WAIT_POLICY", "passive", 1);
  arguments.insert(arguments.begin(), {"-n", std::to_string(ranks), program});
  return run_binary_as_it_is(arguments);
}

inline bool can_launch() { return *VITSNNA_BINARY != '\0'; }

}  // namespace vitsnna::test

#define VITSNNA_SKIP_WITHOUT_MPI()  \
  if (!vitsnna::test::can_launch()) \
  GTEST_SKIP() << "built without MPI (libopenmpi-dev, openmpi-bin)"
