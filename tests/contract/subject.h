// What the contract suite runs on: a backend, a precision, a queue. Each backend's executable
// defines subjects(); the suite itself names no backend.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace vitsnna::contract {

using kernels::DType;
using kernels::index_t;

struct Subject {
  const kernels::Backend* backend = nullptr;
  DType precision = DType::f32;  ///< of products and of the operands that may be either
  void* stream = nullptr;  ///< with `context`: of the one queue that was opened for the subject
  void* context = nullptr;
  /// What the suite varies and no result may depend on: the CPU's team sizes; {1} elsewhere.
  std::vector<int> thread_counts = {1};
  /// Strided operands keep every row aligned to 16 bytes; otherwise on purpose they do not.
  bool aligned_operands = false;
  kernels::Queue queue(int threads = 1) const {
    kernels::Queue result;
    result.stream = stream;
    result.context = context;
    result.num_threads = threads;
    return result;
  }
};

/// Defined by the executable that holds the suite.
std::vector<Subject> subjects();

inline void PrintTo(const Subject& subject, std::ostream* out) {
  *out << subject.backend->name << " " << kernels::name_of(subject.precision)
       << (subject.aligned_operands ? " aligned" : "");
}

inline std::string subject_name(const testing::TestParamInfo<Subject>& info) {
  return std::string(info.param.backend->name) + "_" + kernels::name_of(info.param.precision) +
         (info.param.aligned_operands ? "_aligned" : "");
}

class Contract : public testing::TestWithParam<Subject> {
 protected:
  const Subject& subject() const { return GetParam(); }
  const kernels::Backend& backend() const { return *GetParam().backend; }
  DType precision() const { return GetParam().precision; }
};

}  // namespace vitsnna::contract

/// A family of the suite: its own fixture name, every subject.
#define VITSNNA_CONTRACT(Family)                                                              \
  class Family : public ::vitsnna::contract::Contract {};                                     \
  INSTANTIATE_TEST_SUITE_P(Ops, Family, ::testing::ValuesIn(::vitsnna::contract::subjects()), \
                           ::vitsnna::contract::subject_name)
