// Return codes of the CUDA runtime as errors that name the call.
#pragma once

#include <cuda_runtime_api.h>

namespace vitsnna::kernels::cuda {

/// Throws Error "WHAT: TEXT OF THE STATUS" unless the status is success.
void check(cudaError_t status, const char* what);

}  // namespace vitsnna::kernels::cuda
