// Return codes of the CUDA runtime as errors that name the call.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace vitsnna::kernels::cuda {

/// One line: what was being done, whose fault the status is (this call's, an earlier kernel's, the
/// GPU's or the driver's), and CUDA's own name and text for it.
std::string failure_text(cudaError_t status, const std::string& what);

/// Throws Error (OutOfMemory where that is the status) with failure_text unless it is success.
void check(cudaError_t status, const char* what);

}  // namespace vitsnna::kernels::cuda
