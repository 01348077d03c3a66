// The CUDA backend's turn in the contract suite, on the host: its own table, over the SIMT layer.
#include "kernels/cuda/backend.h"
#include "tests/contract/subject.h"

namespace vitsnna::contract {

std::vector<Subject> subjects() {
  static kernels::Queue queue = [] {
    kernels::Queue opened;
    kernels::cuda::backend().open(opened, 0);
    return opened;
  }();
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
