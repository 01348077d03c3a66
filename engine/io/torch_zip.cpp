// Reading of PyTorch's archives by libzip.
#include "engine/io/torch_zip.h"

#include <fmt/format.h>
#include <zip.h>

#include <utility>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

constexpr std::size_t largest_pickle = std::size_t{1} << 26;

std::string text_of(zip_error_t& error) {
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

zip_t* as_zip(void* archive) { return static_cast<zip_t*>(archive); }

}  // namespace

void TorchZip::Close::operator()(void* archive) const { zip_discard(as_zip(archive)); }

void TorchZip::fail(const std::string& what) const {
  throw Error(fmt::format("{}: {}", printable(path_, 1000), what));
}

TorchZip::TorchZip(std::string path, std::span<const std::byte> bytes)
    : path_(std::move(path)), file_size_(bytes.size()) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (source == nullptr) fail(fmt::format("the zip archive cannot be read: {}", text_of(error)));
  archive_.reset(zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error));
  if (archive_ == nullptr) {
    zip_source_free(source);
    fail(fmt::format("the zip archive is damaged or truncated: {}", text_of(error)));
  }
  zip_error_fini(&error);
  list_entries();
}

// Stored entries whose sizes add up to no more than the file: what is declared cannot be a bomb,
// and read() checks what is delivered against it.
void TorchZip::list_entries() {
  const zip_int64_t count = zip_get_num_entries(as_zip(archive_.get()), 0);
  std::uint64_t total = 0;
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count); ++i) {
    zip_stat_t status;
    zip_stat_init(&status);
    constexpr zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                    ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(as_zip(archive_.get()), i, ZIP_FL_ENC_RAW, &status) != 0 ||
        (status.valid & wanted) != wanted) {
      fail(fmt::format("entry {} of the zip archive is damaged", i));
    }
    const std::string name = status.name;
    if (status.comp_method != ZIP_CM_STORE || status.encryption_method != ZIP_EM_NONE) {
      fail(
          fmt::format("zip entry '{}' is compressed or encrypted ({} bytes claim to be {}), "
                      "PyTorch stores plainly",
                      printable(name), status.comp_size, status.size));
    }
    if (status.size != status.comp_size || status.size > file_size_ - total) {
      fail(fmt::format("zip entry '{}' claims {} bytes, more than the file of {} has",
                       printable(name), status.size, file_size_));
    }
    total += status.size;
    if (!entries_.emplace(name, Entry{i, status.size}).second) {
      fail(fmt::format("zip entry '{}' stands twice", printable(name)));
    }
    if (const std::size_t slash = name.find('/');
        slash != std::string::npos && name.substr(slash + 1) == "data.pkl") {
      if (!prefix_.empty()) fail("the zip archive holds more than one data.pkl");
      prefix_ = name.substr(0, slash + 1);
    }
  }
  if (prefix_.empty()) fail("the zip archive holds no <name>/data.pkl: not a PyTorch checkpoint");
  if (entries_.contains(prefix_ + "constants.pkl")) {
    fail("is a TorchScript program, a checkpoint of tensors was wanted");
  }
  if (const auto order = entries_.find(prefix_ + "byteorder"); order != entries_.end()) {
    const auto text = read(order->first, order->second);
    const std::string_view found(reinterpret_cast<const char*>(text.data()), text.size());
    if (found != "little") {
      fail(fmt::format("its byte order is '{}', little was wanted", printable(found, 20)));
    }
  }
}

std::vector<std::byte> TorchZip::read(const std::string& name, const Entry& entry) const {
  const auto damaged = [&]() {
    fail(fmt::format("zip entry '{}' is damaged or truncated: {}", printable(name),
                     zip_strerror(as_zip(archive_.get()))));
  };
  std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(
      zip_fopen_index(as_zip(archive_.get()), entry.index, 0), &zip_fclose);
  if (file == nullptr) damaged();
  std::vector<std::byte> bytes(entry.size);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const zip_int64_t got = zip_fread(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got <= 0) damaged();
    filled += static_cast<std::size_t>(got);
  }
  // The end of the entry is where libzip compares the checksum.
  std::byte beyond = {};
  if (zip_fread(file.get(), &beyond, 1) != 0) damaged();
  return bytes;
}

std::vector<std::byte> TorchZip::read_pickle() const {
  const std::string name = prefix_ + "data.pkl";
  const Entry& entry = entries_.at(name);
  if (entry.size > largest_pickle) {
    fail(fmt::format("data.pkl has {} bytes, {} are the most that is read", entry.size,
                     largest_pickle));
  }
  return read(name, entry);
}

const TorchZip::Entry& TorchZip::storage_entry(const TorchStorage& storage) const {
  const auto found = entries_.find(prefix_ + "data/" + storage.key);
  if (found == entries_.end()) {
    fail(fmt::format("storage '{}' is not in the archive", printable(storage.key)));
  }
  const auto wanted = static_cast<std::uint64_t>(storage.elements * size_of(storage.type));
  if (found->second.size != wanted) {
    fail(fmt::format("storage '{}' has {} bytes, its {} elements of {} take {}",
                     printable(storage.key), found->second.size, storage.elements,
                     name_of(storage.type), wanted));
  }
  return found->second;
}

void TorchZip::check(const TorchStorage& storage) const { storage_entry(storage); }

StorageBytes TorchZip::load(const TorchStorage& storage) {
  const Entry& entry = storage_entry(storage);
  auto& bytes = loaded_[storage.key];
  if (bytes == nullptr) {
    bytes = std::make_shared<const std::vector<std::byte>>(
        read(prefix_ + "data/" + storage.key, entry));
  }
  return {*bytes, bytes};
}

}  // namespace vitsnna::engine
