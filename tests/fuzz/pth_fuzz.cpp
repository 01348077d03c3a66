// libFuzzer target of the .pth readers: the whole of a legacy file, the whole of a zip archive, and
// (since the archive's checksums keep most mutations out) a bare pickle with one storage beside it.
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/pickle_flatten.h"
#include "engine/io/pickle_machine.h"
#include "engine/io/torch_pickle.h"
#include "engine/io/torch_tensor.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace vitsnna;

void read_pickle(std::span<const std::byte> bytes) {
  const std::vector<std::byte> storage(64);
  engine::PickleHeap heap("fuzz");
  const engine::ValueId root = engine::PickleMachine(heap, bytes).run();
  const engine::FlatPickle flat = engine::flatten(heap, root);
  engine::TensorBuilder builder("fuzz", 1 << 16, [&](const engine::TorchStorage& wanted) {
    const auto size = static_cast<std::uint64_t>(wanted.elements * size_of(wanted.type));
    if (size > storage.size()) throw Error("the storage is larger than the fuzz target's");
    return engine::StorageBytes{std::span(storage).first(size), {}};
  });
  for (const auto& [name, id] : flat.tensors) fuzz::touch(builder.build(name, heap.tensor(id)));
}

template <typename Read>
void attempt(Read read) {
  try {
    read();
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::as_bytes(data, size);
  const auto all = [](const std::vector<std::string>& names) { return names; };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with("PK")) {
    attempt([&] { fuzz::touch(parse_torch("fuzz", engine::TorchFormat::zip, bytes, {}, all)); });
  } else {
    attempt([&] { fuzz::touch(parse_torch("fuzz", engine::TorchFormat::legacy, bytes, {}, all)); });
    attempt([&] { read_pickle(bytes); });
  }
  return 0;
}
