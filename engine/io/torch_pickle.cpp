// Container, pickle, flat names, tensors: the four steps of reading a .pth file.
#include "engine/io/torch_pickle.h"

#include <utility>

#include "engine/io/pickle_flatten.h"
#include "engine/io/pickle_heap.h"
#include "engine/io/pickle_machine.h"
#include "engine/io/torch_legacy.h"
#include "engine/io/torch_tensor.h"
#include "engine/io/torch_zip.h"

namespace vitsnna::engine {
namespace {

TensorFile assemble(const std::string& path, const PickleHeap& heap, ValueId root,
                    const TensorSelection& selection, TensorBuilder builder) {
  FlatPickle flat = flatten(heap, root);
  std::vector<std::string> names;
  for (const auto& [name, id] : flat.tensors) names.push_back(name);
  TensorFile file;
  file.path = path;
  file.metadata = std::move(flat.values);
  for (const std::string& name : selection(names)) {
    file.tensors.emplace(name, builder.build(name, heap.tensor(flat.tensors.at(name))));
  }
  return file;
}

TensorFile parse_zip(const std::string& path, std::span<const std::byte> bytes,
                     const TensorSelection& selection) {
  TorchZip archive(path, bytes);
  PickleHeap heap(path);
  const std::vector<std::byte> pickle = archive.read_pickle();
  const ValueId root = PickleMachine(heap, pickle).run();
  for (ValueId id = 0; id < heap.size(); ++id) {
    if (heap.kind(id) == PickleKind::storage) archive.check(heap.storage(id));
  }
  return assemble(path, heap, root, selection,
                  TensorBuilder(path, bytes.size(), [&](const TorchStorage& storage) {
                    return archive.load(storage);
                  }));
}

TensorFile parse_legacy(const std::string& path, std::span<const std::byte> bytes,
                        const std::shared_ptr<const void>& owner,
                        const TensorSelection& selection) {
  PickleHeap heap(path);
  const TorchLegacy file = read_torch_legacy(bytes, heap);
  return assemble(path, heap, file.root, selection,
                  TensorBuilder(path, bytes.size(), [&](const TorchStorage& storage) {
                    return StorageBytes{file.storages.at(storage.key), owner};
                  }));
}

}  // namespace

TensorFile parse_torch(const std::string& path, TorchFormat format,
                       std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner,
                       const TensorSelection& selection) {
  return format == TorchFormat::zip ? parse_zip(path, bytes, selection)
                                    : parse_legacy(path, bytes, owner, selection);
}

}  // namespace vitsnna::engine
