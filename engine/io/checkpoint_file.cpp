// Format by content.
#include "engine/io/checkpoint_file.h"

#include <fmt/format.h>

#include <string_view>

#include "engine/io/mapped_file.h"
#include "engine/io/printable.h"
#include "engine/io/safetensors.h"
#include "engine/io/sha256.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

TensorFile select(TensorFile whole, const TensorSelection& selection) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : whole.tensors) names.push_back(name);
  TensorFile selected;
  selected.path = whole.path;
  selected.metadata = std::move(whole.metadata);
  for (const std::string& name : selection(names)) selected.tensors[name] = whole.at(name);
  return selected;
}

}  // namespace

CheckpointFile read_checkpoint_file(const std::string& path, const TensorSelection& selection) {
  const auto mapping = MappedFile::open(path);
  const std::span<const std::byte> bytes = mapping->bytes();
  if (bytes.empty()) {
    throw Error(fmt::format("{}: is empty, a checkpoint was wanted", printable(path, 1000)));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  // A safetensors file may begin with any byte (of its header's length), but its ninth is '{'; the
  // ninth byte of a zip archive is a compression method, and no legacy file has it there either.
  const bool is_safetensors = text.size() > 8 && text[8] == '{';
  CheckpointFile file;
  if (!is_safetensors && text.starts_with("PK\x03\x04")) {
    file.format = "pth (zip)";
    file.content = parse_torch(path, TorchFormat::zip, bytes, mapping, selection);
  } else if (!is_safetensors && text.starts_with('\x80')) {
    file.format = "pth (legacy)";
    file.content = parse_torch(path, TorchFormat::legacy, bytes, mapping, selection);
  } else {
    file.format = "safetensors";
    file.content = select(parse_safetensors(path, bytes, mapping), selection);
  }
  file.sha256 = sha256(bytes);
  return file;
}

}  // namespace vitsnna::engine
