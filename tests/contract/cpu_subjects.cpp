// The CPU backend's turn in the contract suite.
#include "tests/contract/subject.h"

namespace vitsnna::contract {

std::vector<Subject> subjects() {
  std::vector<Subject> result;
  for (const DType precision : {DType::f32, DType::bf16}) {
    Subject subject;
    subject.backend = &kernels::cpu_backend();
    subject.precision = precision;
    subject.thread_counts = {1, 3};
    result.push_back(subject);
  }
  return result;
}

}  // namespace vitsnna::contract
