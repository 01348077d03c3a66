// What a failed call of the CUDA runtime says, and what this build says where there is no GPU.
#include <gtest/gtest.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device_query.h"
#include "kernels/cuda/status.h"
#include "tests/support/expect_error.h"

namespace vitsnna::kernels::cuda {
namespace {

TEST(CudaStatus, AFailureNamesTheCallWhoseFaultItIsAndCudasWord) {
  struct Case {
    cudaError_t status;
    const char* text;
  };
  for (const Case& one : {Case{cudaErrorECCUncorrectable, "the GPU was lost"},
                          Case{cudaErrorDevicesUnavailable, "the GPU was lost"},
                          Case{cudaErrorUnknown, "the GPU was lost"},
                          Case{cudaErrorLaunchFailure, "a kernel that was started before failed"},
                          Case{cudaErrorIllegalAddress, "a kernel that was started before failed"},
                          Case{cudaErrorInsufficientDriver, "driver is older"},
                          Case{cudaErrorNoKernelImageForDevice, "no code for this GPU"},
                          Case{cudaErrorMemoryAllocation, "memory is used up"}}) {
    EXPECT_ERROR(check(one.status, "waiting for the GPU"), "waiting for the GPU: ", one.text,
                 cudaGetErrorName(one.status));
  }
  EXPECT_NO_THROW(check(cudaSuccess, "waiting for the GPU"));
}

TEST(CudaStatus, WithoutAGpuThereIsAReasonAndNothingOpens) {
  const VisibleDevices visible = visible_devices();
  if (!visible.names.empty()) GTEST_SKIP() << "there is a GPU";
  EXPECT_FALSE(visible.problem.empty());
  EXPECT_EQ(visible.problem.find('\n'), std::string::npos);
  Queue queue;
  EXPECT_ERROR(backend().open(queue, 0), "GPU");
  EXPECT_EQ(queue.context, nullptr);
  EXPECT_ERROR(backend().allocate(1), "GPU");
  // A queue that failed to open is not counted: another device may be tried.
  EXPECT_ERROR(backend().open(queue, 1), "choosing the GPU");
}

}  // namespace
}  // namespace vitsnna::kernels::cuda
