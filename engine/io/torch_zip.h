// The zip archive that torch.save writes: <name>/data.pkl, <name>/data/<key> for every storage,
// stored and not compressed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/torch_tensor.h"

namespace vitsnna::engine {

class TorchZip {
 public:
  /// Throws Error naming the file when the archive is damaged, is not PyTorch's, holds a compressed
  /// or encrypted entry, or claims more bytes than the file has.
  TorchZip(std::string path, std::span<const std::byte> bytes);

  std::vector<std::byte> read_pickle() const;
  /// Throws Error naming the storage when it is missing or not of the size its elements take.
  void check(const TorchStorage& storage) const;
  StorageBytes load(const TorchStorage& storage);

 private:
  struct Entry {
    std::uint64_t index = 0;
    std::uint64_t size = 0;
  };
  struct Close {
    void operator()(void* archive) const;
  };

  [[noreturn]] void fail(const std::string& what) const;
  void list_entries();
  const Entry& storage_entry(const TorchStorage& storage) const;
  std::vector<std::byte> read(const std::string& name, const Entry& entry) const;

  std::string path_;
  std::unique_ptr<void, Close> archive_;
  std::string prefix_;  // "<name>/"
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::shared_ptr<const std::vector<std::byte>>> loaded_;
  std::size_t file_size_;
};

}  // namespace vitsnna::engine
