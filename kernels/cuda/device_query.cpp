// The CUDA runtime's device list as text, and whether a device runs this build's code.
#include "kernels/cuda/device_query.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/device_probe.h"
#include "kernels/cuda/status.h"

namespace vitsnna::kernels::cuda {
namespace {

std::string architecture_of(const cudaDeviceProp& properties) {
  return "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
}

/// The line of a failed call that asked for devices; the error does not stay behind.
std::string forgotten(cudaError_t status, const std::string& what) {
  (void)cudaGetLastError();
  return failure_text(status, what);
}

}  // namespace

VisibleDevices visible_devices() {
  VisibleDevices visible;
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    visible.problem = status == cudaErrorInsufficientDriver && driver_version() == 0
                          ? "no NVIDIA driver is loaded here"
                          : forgotten(status, "looking for GPUs");
    (void)cudaGetLastError();
    return visible;
  }
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (const cudaError_t status = cudaGetDeviceProperties(&properties, index);
        status != cudaSuccess) {
      visible.names.push_back(forgotten(status, "unreadable"));
      continue;
    }
    visible.names.push_back(std::string(properties.name) + ", " + architecture_of(properties) +
                            ", " + std::to_string(properties.totalGlobalMem >> 30) + " GiB");
  }
  if (visible.names.empty()) visible.problem = "the NVIDIA driver shows no GPU";
  return visible;
}

std::string device_problem(int index) {
  if (std::string problem = cublaslt_problem(); !problem.empty()) return problem;
  if (const cudaError_t status = cudaSetDevice(index); status != cudaSuccess) {
    return forgotten(status, "opening the GPU");
  }
  if (const cudaError_t status = find_kernel_code(); status != cudaSuccess) {
    cudaDeviceProp properties{};
    const bool known = cudaGetDeviceProperties(&properties, index) == cudaSuccess;
    return forgotten(status, "looking for code for " +
                                 (known ? architecture_of(properties) : std::string("the GPU")));
  }
  return {};
}

}  // namespace vitsnna::kernels::cuda
