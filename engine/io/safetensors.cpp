// Reading and writing of safetensors files; the header's JSON is in safetensors_header.cpp.
#include "engine/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "engine/io/atomic_file.h"
#include "engine/io/mapped_file.h"
#include "engine/io/printable.h"
#include "engine/io/safetensors_header.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t largest_header = 100'000'000;  // the format's own limit

using Placed = std::pair<const std::string, SafetensorsEntry>;

// Each tensor's bytes must be the size of its shape and lie in the data; together they must cover
// the data without overlap or hole, which is what makes two tensors sharing bytes an error.
void check_extents(const std::string& path, const SafetensorsHeader& header, std::int64_t size) {
  const auto fail = [&](const std::string& name, const std::string& what) {
    throw Error(fmt::format("{}: tensor '{}': {}", printable(path, 1000), printable(name), what));
  };
  std::vector<const Placed*> order;
  for (const Placed& placed : header.entries) {
    const auto& [name, entry] = placed;
    if (entry.begin > entry.end || entry.end > size) {
      fail(name, fmt::format("data_offsets [{}, {}] are outside the file's {} bytes of data",
                             entry.begin, entry.end, size));
    }
    const auto wanted = byte_count(entry.shape, entry.type);
    const std::string shape = fmt::format("({})", fmt::join(entry.shape, ", "));
    if (!wanted) fail(name, fmt::format("shape {} is too large for any file", shape));
    if (*wanted != entry.end - entry.begin) {
      fail(name, fmt::format("shape {} of {} takes {} bytes, data_offsets [{}, {}] hold {}", shape,
                             name_of(entry.type), *wanted, entry.begin, entry.end,
                             entry.end - entry.begin));
    }
    order.push_back(&placed);
  }
  std::sort(order.begin(), order.end(), [](const Placed* a, const Placed* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::int64_t covered = 0;
  for (const Placed* placed : order) {
    if (placed->second.begin < covered) {
      fail(placed->first,
           fmt::format("data_offsets begin at {}, inside the tensor before it, which "
                       "ends at {}",
                       placed->second.begin, covered));
    }
    if (placed->second.begin > covered) {
      fail(placed->first, fmt::format("{} bytes before data_offset {} belong to no tensor",
                                      placed->second.begin - covered, placed->second.begin));
    }
    covered = placed->second.end;
  }
  if (covered != size) {
    throw Error(fmt::format("{}: the last {} of {} bytes of data belong to no tensor",
                            printable(path, 1000), size - covered, size));
  }
}

}  // namespace

TensorFile parse_safetensors(const std::string& path, std::span<const std::byte> bytes,
                             const std::shared_ptr<const void>& owner) {
  const auto fail = [&](const std::string& what) {
    throw Error(fmt::format("{}: {}", printable(path, 1000), what));
  };
  if (bytes.size() < length_bytes) {
    fail(fmt::format("{} bytes are too few for a safetensors file", bytes.size()));
  }
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), length_bytes);
  if (header_size > bytes.size() - length_bytes) {
    fail(
        fmt::format("the header length {} is beyond the file's {} bytes: not a safetensors file, "
                    "or a truncated one",
                    header_size, bytes.size()));
  }
  if (header_size > largest_header) {
    fail(fmt::format("the header length {} is above the format's limit of {}", header_size,
                     largest_header));
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data() + length_bytes);
  SafetensorsHeader header = parse_safetensors_header(path, {text, header_size});
  const std::span<const std::byte> data = bytes.subspan(length_bytes + header_size);
  check_extents(path, header, static_cast<std::int64_t>(data.size()));

  TensorFile file;
  file.path = path;
  file.metadata = std::move(header.metadata);
  for (auto& [name, entry] : header.entries) {
    HostTensor tensor;
    tensor.type = entry.type;
    tensor.shape = std::move(entry.shape);
    tensor.bytes = data.subspan(static_cast<std::size_t>(entry.begin),
                                static_cast<std::size_t>(entry.end - entry.begin));
    tensor.storage = owner;
    file.tensors.emplace(name, std::move(tensor));
  }
  return file;
}

TensorFile read_safetensors(const std::string& path) {
  const auto mapping = MappedFile::open(path);
  return parse_safetensors(path, mapping->bytes(), mapping);
}

void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, HostTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto fail = [&](const std::string& name, const char* what) {
    throw Error(fmt::format("{}: '{}': {}", printable(path.string(), 1000), printable(name), what));
  };
  // Wider elements first, as the reference writer does, so that every tensor is aligned to its own.
  std::vector<const std::pair<const std::string, HostTensor>*> order;
  order.reserve(tensors.size());
  for (const auto& named : tensors) order.push_back(&named);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.type) > size_of(b->second.type);
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value)) fail(key, "metadata must be UTF-8");
    header["__metadata__"][key] = value;
  }
  std::int64_t offset = 0;
  for (const auto* named : order) {
    const auto& [name, tensor] = *named;
    if (name == "__metadata__") fail(name, "this name is the format's own");
    if (!is_utf8(name)) fail(name, "a tensor's name must be UTF-8");
    const auto size = static_cast<std::int64_t>(tensor.bytes.size());
    if (byte_count(tensor.shape, tensor.type) != size) {
      fail(name, "its shape and its bytes are of different size");
    }
    header[name] = {{"dtype", safetensors_type(tensor.type)},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > largest_header) fail("__metadata__", "the header is above the format's limit");
  const std::uint64_t header_size = text.size();

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_size, 1)));
  file.write(text);
  for (const auto* named : order) file.write(named->second.bytes);
  file.commit();
}

}  // namespace vitsnna::engine
