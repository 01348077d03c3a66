// SHA-256 by OpenSSL.
#include "engine/io/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "engine/io/mapped_file.h"
#include "kernels/error.h"

namespace vitsnna::engine {

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, 32> digest = {};
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1 ||
      length != digest.size()) {
    throw Error("SHA-256 failed in libcrypto");
  }
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_of_file(const std::string& path) {
  return sha256(MappedFile::open(path)->bytes());
}

}  // namespace vitsnna::engine
