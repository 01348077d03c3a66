// What the layer's own tests share: a kernel run at once, and an error that must say certain words.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/error.h"

namespace vitsnna::simt_test {

template <auto kernel, class... Arguments>
void run(dim3 blocks, int threads, int shared_bytes, Arguments... arguments) {
  kernels::Queue queue;
  kernels::cuda::launch<kernel>("test", queue, {blocks, threads, shared_bytes}, arguments...);
}

template <class Action>
void expect_error(const std::vector<std::string>& words, Action action) {
  try {
    action();
  } catch (const Error& error) {
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
          << "'" << word << "' is not in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "no error where one was wanted that says '" << words.front() << "'";
}

}  // namespace vitsnna::simt_test
