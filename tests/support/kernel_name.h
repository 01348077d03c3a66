// Names of kernels as tables state them.
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <regex>
#include <string>

namespace vitsnna::test {

inline std::string demangled(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : mangled;
}

/// "gelu_kernel<float, float>" of a kernel's full signature: without its arguments, and without
/// namespaces, whose names for unnamed ones change from build to build.
inline std::string kernel_name(std::string signature) {
  signature = std::regex_replace(
      signature,
      std::regex("\\(anonymous namespace\\)::|_GLOBAL__N__\\w+::|_INTERNAL_\\w+::|"
                 "vitsnna::|kernels::|cuda_on_host::|cuda::|^void "),
      "");
  int depth = 0;
  for (std::size_t k = 0; k < signature.size(); ++k) {
    depth += signature[k] == '<' ? 1 : signature[k] == '>' ? -1 : 0;
    if (signature[k] == '(' && depth == 0) return signature.substr(0, k);
  }
  return signature;
}

}  // namespace vitsnna::test
