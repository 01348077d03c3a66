// Where the shared golden files and data lie: $VITSNNA_SHARED, else ../shared beside the project.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace vitsnna::test {

/// shared_path("golden/vit_last4.safetensors"); the file need not exist.
inline std::filesystem::path shared_path(const std::filesystem::path& relative) {
  const char* root = std::getenv("VITSNNA_SHARED");
  return std::filesystem::path(root != nullptr && *root != '\0' ? root : VITSNNA_SHARED_DEFAULT) /
         relative;
}

}  // namespace vitsnna::test

/// Skips the test by name where the shared file or folder is absent; else `variable` is its path.
#define VITSNNA_SHARED_OR_SKIP(variable, relative)                                             \
  const std::filesystem::path variable = ::vitsnna::test::shared_path(relative);               \
  if (!std::filesystem::exists(variable)) {                                                    \
    GTEST_SKIP() << "absent: " << variable.string() << " (VITSNNA_SHARED says where to look)"; \
  }                                                                                            \
  static_assert(true)
