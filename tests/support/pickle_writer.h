// Pickles and PyTorch files, byte by byte: what torch.save would write, and what it never would.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitsnna::test {

template <typename Number>
std::string little_endian(Number value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string float_bytes(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// A tensor as _rebuild_tensor_v2 takes it.
struct TensorSpec {
  std::string storage_type = "FloatStorage";
  std::string key = "0";
  std::int64_t storage_elements = 0;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

/// A program for the pickle machine; opcodes as pickletools names them.
class Pickle {
 public:
  explicit Pickle(int protocol = 2) {
    raw("\x80").raw(std::string(1, static_cast<char>(protocol)));
  }

  Pickle& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  Pickle& text(std::string_view value) {
    return raw("X").raw(little_endian(static_cast<std::uint32_t>(value.size()))).raw(value);
  }
  Pickle& integer(std::int64_t value) { return raw("\x8a\x08").raw(little_endian(value)); }
  Pickle& global(std::string_view module, std::string_view name) {
    return raw("c").raw(module).raw("\n").raw(name).raw("\n");
  }
  Pickle& integers(const std::vector<std::int64_t>& values) {
    raw("(");
    for (const std::int64_t value : values) integer(value);
    return raw("t");
  }
  Pickle& storage(const TensorSpec& spec, bool legacy = false) {
    raw("(").text("storage").global("torch", spec.storage_type).text(spec.key).text("cpu");
    integer(spec.storage_elements);
    return raw(legacy ? "NtQ" : "tQ");
  }
  Pickle& tensor(const TensorSpec& spec, bool legacy = false) {
    global("torch._utils", "_rebuild_tensor_v2").raw("(").storage(spec, legacy);
    integer(spec.offset).integers(spec.shape).integers(spec.strides);
    raw("\x89").global("collections", "OrderedDict").raw(")R");
    return raw("tR");
  }
  /// The program, ended by STOP.
  std::string stop() const { return bytes_ + "."; }

 private:
  std::string bytes_;
};

/// A pickled dict of one tensor a name.
inline std::string pickled_tensors(const std::vector<std::pair<std::string, TensorSpec>>& tensors,
                                   bool legacy = false) {
  Pickle pickle;
  pickle.raw("}(");
  for (const auto& [name, spec] : tensors) pickle.text(name).tensor(spec, legacy);
  return pickle.raw("u").stop();
}

inline std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

/// One member of a zip archive, and the lies it may tell.
struct ZipMember {
  std::string name;
  std::string data;
  std::uint16_t method = 0;        ///< 0 stored, 8 deflated
  std::int64_t claimed_size = -1;  ///< uncompressed; -1: the truth
  std::uint16_t flags = 0x0800;    ///< bit 0: encrypted
  bool wrong_checksum = false;
};

inline std::string zip_archive(const std::vector<ZipMember>& members) {
  std::string bytes;
  std::string directory;
  const auto u16 = [](std::size_t value) {
    return little_endian(static_cast<std::uint16_t>(value));
  };
  const auto u32 = [](std::size_t value) {
    return little_endian(static_cast<std::uint32_t>(value));
  };
  for (const ZipMember& member : members) {
    const std::size_t claimed = member.claimed_size >= 0
                                    ? static_cast<std::size_t>(member.claimed_size)
                                    : member.data.size();
    const std::uint32_t checksum = crc32_of(member.data) ^ (member.wrong_checksum ? 1u : 0u);
    const std::string common = u16(0) + u16(member.flags) + u16(member.method) + u32(0) +
                               u32(checksum) + u32(member.data.size()) + u32(claimed) +
                               u16(member.name.size()) + u16(0);
    directory += "PK\x01\x02" + u16(0) + common + u16(0) + u16(0) + u16(0) + u32(0) +
                 u32(bytes.size()) + member.name;
    bytes += "PK\x03\x04" + common + member.name + member.data;
  }
  const std::size_t start = bytes.size();
  bytes += directory + "PK\x05\x06" + u16(0) + u16(0) + u16(members.size()) + u16(members.size()) +
           u32(directory.size()) + u32(start) + u16(0);
  return bytes;
}

using Storages = std::vector<std::pair<std::string, std::string>>;  ///< key, bytes

inline std::string torch_zip(const std::string& pickle, const Storages& storages) {
  std::vector<ZipMember> members = {{"archive/data.pkl", pickle}};
  for (const auto& [key, data] : storages) members.push_back({"archive/data/" + key, data});
  members.push_back({"archive/version", "3\n"});
  return zip_archive(members);
}

/// `element_size` divides the storages' bytes into the counts that stand before them.
inline std::string torch_legacy(const std::string& pickle, const Storages& storages,
                                std::size_t element_size = 4) {
  using namespace std::string_literals;
  std::string bytes = Pickle().raw("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19").stop();
  bytes += Pickle().integer(1001).stop();
  bytes += Pickle().raw("}").text("little_endian").raw("\x88s").stop();
  bytes += pickle;
  Pickle keys;
  keys.raw("](");
  for (const auto& [key, data] : storages) keys.text(key);
  bytes += keys.raw("e").stop();
  for (const auto& [key, data] : storages) {
    bytes += little_endian(static_cast<std::int64_t>(data.size() / element_size)) + data;
  }
  return bytes;
}

}  // namespace vitsnna::test
