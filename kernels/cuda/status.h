// Return codes of the CUDA runtime as errors that name the call.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace vitsnna::kernels::cuda {

/// One line: what was being done, whose fault the status is (this call's, an earlier kernel's, the
/// GPU's or the driver's), and CUDA's own name and text for it.
std::string failure_text(cudaError_t status, const std::string& what);

/// Throws Error with failure_text unless the status is success.
void check(cudaError_t status, const char* what);

}  // namespace vitsnna::kernels::cuda
