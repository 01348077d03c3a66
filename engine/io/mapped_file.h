// A whole file as read-only memory, mapped rather than read: weights are paged in when used.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace vitsnna::engine {

class MappedFile {
 public:
  /// Throws Error naming the path when it is missing, unreadable or not a regular file.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, std::size_t size) : data_(data), size_(size) {}
  const std::byte* data_;
  std::size_t size_;
};

}  // namespace vitsnna::engine
