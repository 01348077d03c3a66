// A failed runtime call in one line.
#include "kernels/cuda/status.h"

#include "kernels/error.h"

namespace vitsnna::kernels::cuda {
namespace {

const char* explanation(cudaError_t status) {
  switch (status) {
    case cudaErrorDevicesUnavailable:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorHardwareStackError:
    case cudaErrorUnknown:
      return "the GPU was lost, nothing more can be computed on it by this process";
    case cudaErrorLaunchFailure:
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorAssert:
    case cudaErrorLaunchTimeout:
      return "a kernel that was started before failed, or the GPU was lost";
    case cudaErrorInsufficientDriver:
      return "the NVIDIA driver is older than the CUDA runtime of this build wants";
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return "the NVIDIA driver's kernel module and library do not fit each other";
    case cudaErrorNoDevice:
      return "the NVIDIA driver shows no GPU";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorInvalidPtx:
      return "this build has no code for this GPU's architecture";
    case cudaErrorMemoryAllocation:
      return "the GPU's memory is used up";
    default:
      return nullptr;
  }
}

}  // namespace

std::string failure_text(cudaError_t status, const std::string& what) {
  const char* why = explanation(status);
  return what + ": " + (why ? std::string(why) + "; " : "") + "CUDA says " +
         cudaGetErrorName(status) + ", " + cudaGetErrorString(status);
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // told here; the next launch must not report it again
  if (status == cudaErrorMemoryAllocation) throw OutOfMemory(failure_text(status, what));
  throw Error(failure_text(status, what));
}

}  // namespace vitsnna::kernels::cuda
