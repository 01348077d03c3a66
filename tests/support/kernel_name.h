// Names of kernels as tables state them.
#pragma once

#include <cxxabi.h>

#include <cctype>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace vitsnna::test {

inline std::string demangled(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : mangled;
}

/// Takes every `prefix` + identifier + "::" out of `text`.
inline void erase_scopes(std::string& text, std::string_view prefix) {
  const auto in_a_name = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  for (std::size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at)) {
    std::size_t end = at + prefix.size();
    while (end < text.size() && in_a_name(text[end])) ++end;
    const bool is_scope = text.compare(end, 2, "::") == 0 && (at == 0 || !in_a_name(text[at - 1]));
    if (is_scope) {
      text.erase(at, end + 2 - at);
    } else {
      at = end;
    }
  }
}

/// "gelu_kernel<float, float>" of a kernel's full signature: without its arguments, and without
/// namespaces, whose names for unnamed ones change from build to build.
inline std::string kernel_name(std::string signature) {
  if (signature.starts_with("void ")) signature.erase(0, 5);
  for (const char* scope : {"(anonymous namespace)", "_GLOBAL__N__", "_INTERNAL_", "vitsnna",
                            "kernels", "cuda_on_host", "cuda"}) {
    erase_scopes(signature, scope);
  }
  int depth = 0;
  for (std::size_t k = 0; k < signature.size(); ++k) {
    depth += signature[k] == '<' ? 1 : signature[k] == '>' ? -1 : 0;
    if (signature[k] == '(' && depth == 0) return signature.substr(0, k);
  }
  return signature;
}

}  // namespace vitsnna::test
