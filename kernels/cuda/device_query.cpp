// The CUDA runtime's device list as text.
#include "kernels/cuda/device_query.h"

#include <cuda_runtime_api.h>

namespace vitsnna::kernels::cuda {

VisibleDevices visible_devices() {
  VisibleDevices visible;
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    visible.problem = cudaGetErrorString(status);
    return visible;
  }
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (const cudaError_t status = cudaGetDeviceProperties(&properties, index);
        status != cudaSuccess) {
      visible.names.push_back(std::string("unreadable: ") + cudaGetErrorString(status));
      continue;
    }
    visible.names.push_back(std::string(properties.name) + ", sm_" +
                            std::to_string(properties.major) + std::to_string(properties.minor) +
                            ", " + std::to_string(properties.totalGlobalMem >> 30) + " GiB");
  }
  if (visible.names.empty()) visible.problem = "the driver shows no device";
  return visible;
}

}  // namespace vitsnna::kernels::cuda
