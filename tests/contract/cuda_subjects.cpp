// The CUDA backend's turn in the contract suite, on the first GPU.
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device_query.h"
#include "tests/contract/subject.h"

namespace vitsnna::contract {
namespace {

/// What ctest takes as "skipped".
constexpr int kSkipped = 77;

kernels::Queue open_gpu() {
  const kernels::cuda::VisibleDevices visible = kernels::cuda::visible_devices();
  std::string problem = visible.problem;
  if (problem.empty()) problem = kernels::cuda::device_problem(0);
  if (!problem.empty()) {
    std::fprintf(stderr, "contract_cuda: skipped, no GPU: %s\n", problem.c_str());
    std::exit(kSkipped);
  }
  kernels::Queue opened;
  kernels::cuda::backend().open(opened, 0);
  return opened;
}

}  // namespace

std::vector<Subject> subjects() {
  static const kernels::Queue queue = open_gpu();
  std::vector<Subject> result;
  for (const DType precision : {DType::f32, DType::bf16}) {
    for (const bool aligned : {false, true}) {
      Subject subject;
      subject.backend = &kernels::cuda::backend();
      subject.precision = precision;
      subject.aligned_operands = aligned;
      subject.stream = queue.stream;
      subject.context = queue.context;
      result.push_back(subject);
    }
  }
  return result;
}

}  // namespace vitsnna::contract
