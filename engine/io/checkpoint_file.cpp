// Format by content.
#include "engine/io/checkpoint_file.h"

#include <fmt/format.h>

#include "engine/io/mapped_file.h"
#include "engine/io/printable.h"
#include "engine/io/safetensors.h"
#include "engine/io/sha256.h"
#include "kernels/error.h"

namespace vitsnna::engine {

CheckpointFile read_checkpoint_file(const std::string& path, const TensorSelection& selection) {
  auto mapping = MappedFile::open(path);
  const std::span<const std::byte> bytes = mapping->bytes();
  if (bytes.empty()) {
    throw Error(fmt::format("{}: is empty, a checkpoint was wanted", printable(path, 1000)));
  }
  CheckpointFile file;
  file.format = "safetensors";
  const TensorFile whole = parse_safetensors(path, bytes, mapping);
  file.content.path = path;
  file.content.metadata = whole.metadata;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : whole.tensors) names.push_back(name);
  for (const std::string& name : selection(names)) file.content.tensors[name] = whole.at(name);
  file.sha256 = sha256(bytes);
  return file;
}

}  // namespace vitsnna::engine
