// A safetensors file with any header, true or not.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace vitsnna::test {

inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes.append(header).append(data);
}

}  // namespace vitsnna::test
