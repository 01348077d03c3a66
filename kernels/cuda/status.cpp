// A failed runtime call in one line.
#include "kernels/cuda/status.h"

#include <string>

#include "kernels/error.h"

namespace vitsnna::kernels::cuda {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(std::string(what) + ": CUDA says " + cudaGetErrorName(status) + ", " +
              cudaGetErrorString(status));
}

}  // namespace vitsnna::kernels::cuda
