// EXPECT_ERROR: a statement must throw vitsnna::Error, in one line that holds every given text.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <string>

#include "kernels/error.h"

namespace vitsnna::test {

inline void expect_error(const std::function<void()>& action,
                         std::initializer_list<std::string> texts, const char* file, int line) {
  std::string message;
  try {
    action();
    ADD_FAILURE_AT(file, line) << "nothing was thrown";
    return;
  } catch (const Error& error) {
    message = error.what();
  }
  if (message.find('\n') != std::string::npos) {
    ADD_FAILURE_AT(file, line) << "more than one line: " << message;
  }
  for (const std::string& text : texts) {
    if (message.find(text) == std::string::npos) {
      ADD_FAILURE_AT(file, line) << "\"" << text << "\" is not in: " << message;
    }
  }
}

}  // namespace vitsnna::test

/// EXPECT_ERROR(read_npy(path), "x.npy", "float64") - what the message must name.
#define EXPECT_ERROR(statement, ...) \
  ::vitsnna::test::expect_error([&] { statement; }, {__VA_ARGS__}, __FILE__, __LINE__)
