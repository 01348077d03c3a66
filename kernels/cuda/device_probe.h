// Whether the binary holds device code that the current GPU runs.
#pragma once

#include <cuda_runtime_api.h>

namespace vitsnna::kernels::cuda {

/// Success, or why no kernel of this build can run on the calling thread's device:
/// cudaErrorNoKernelImageForDevice where its architecture is missing.
cudaError_t find_kernel_code();

/// The newest CUDA version that the driver supports, 1000 major + 10 minor; 0: no driver.
int driver_version();

}  // namespace vitsnna::kernels::cuda
