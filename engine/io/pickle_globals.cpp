// The allow-list as a table, and one small function an entry kind.
#include "engine/io/pickle_globals.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <iterator>
#include <string>

#include "engine/io/printable.h"
#include "engine/io/torch_tensor.h"

namespace vitsnna::engine {
namespace {

enum class Role : std::uint8_t {
  storage_type,
  element_type,
  ordered_dict,
  rebuild_tensor,
  rebuild_parameter,
  size,
  simple_namespace,
  numpy_scalar,
  numpy_type,
  encode,
  opaque
};

struct Global {
  std::string_view module;
  std::string_view name;
  Role role;
  ElementType type = ElementType::f32;  // of storage_type
};

constexpr Global globals[] = {
    {"torch", "DoubleStorage", Role::storage_type, ElementType::f64},
    {"torch", "FloatStorage", Role::storage_type, ElementType::f32},
    {"torch", "HalfStorage", Role::storage_type, ElementType::f16},
    {"torch", "BFloat16Storage", Role::storage_type, ElementType::bf16},
    {"torch", "LongStorage", Role::storage_type, ElementType::i64},
    {"torch", "IntStorage", Role::storage_type, ElementType::i32},
    {"torch", "ShortStorage", Role::storage_type, ElementType::i16},
    {"torch", "CharStorage", Role::storage_type, ElementType::i8},
    {"torch", "ByteStorage", Role::storage_type, ElementType::u8},
    {"torch", "BoolStorage", Role::storage_type, ElementType::boolean},
    {"torch", "float64", Role::element_type},
    {"torch", "float32", Role::element_type},
    {"torch", "float16", Role::element_type},
    {"torch", "bfloat16", Role::element_type},
    {"torch", "int64", Role::element_type},
    {"collections", "OrderedDict", Role::ordered_dict},
    {"torch._utils", "_rebuild_tensor", Role::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v2", Role::rebuild_tensor},
    {"torch._utils", "_rebuild_parameter", Role::rebuild_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", Role::rebuild_parameter},
    {"torch", "Size", Role::size},
    {"torch", "device", Role::opaque},
    {"pathlib", "PosixPath", Role::opaque},
    {"pathlib", "WindowsPath", Role::opaque},
    {"argparse", "Namespace", Role::simple_namespace},
    {"numpy.core.multiarray", "scalar", Role::numpy_scalar},
    {"numpy._core.multiarray", "scalar", Role::numpy_scalar},
    {"numpy", "dtype", Role::numpy_type},
    {"_codecs", "encode", Role::encode},
};

std::string full_name(const Global& global) {
  return fmt::format("{}.{}", global.module, global.name);
}

void want_kind(const PickleHeap& heap, ValueId id, PickleKind wanted, const std::string& what) {
  if (heap.kind(id) == wanted) return;
  heap.fail(fmt::format("{} is {}, {} was wanted", what, name_of(heap.kind(id)), name_of(wanted)));
}

ValueId tensor_from(PickleHeap& heap, const std::vector<ValueId>& arguments) {
  constexpr std::array<PickleKind, 4> kinds = {PickleKind::storage, PickleKind::integer,
                                               PickleKind::tuple, PickleKind::tuple};
  constexpr std::array<const char*, 4> names = {"a tensor's storage", "a tensor's storage offset",
                                                "a tensor's shape", "a tensor's stride"};
  if (arguments.size() < kinds.size()) heap.fail("a tensor's description is too short");
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    want_kind(heap, arguments[i], kinds[i], names[i]);
  }
  std::array<std::vector<std::int64_t>, 2> extents;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const auto& items = heap.items(arguments[2 + i]);
    if (items.size() > largest_torch_rank) {
      heap.fail(fmt::format("a tensor has {} dimensions, PyTorch allows {}", items.size(),
                            largest_torch_rank));
    }
    for (const ValueId item : items) {
      want_kind(heap, item, PickleKind::integer, names[2 + i]);
      extents[i].push_back(heap.integer(item));
    }
  }
  TorchTensor tensor = {heap.storage(arguments[0]), heap.integer(arguments[1]),
                        std::move(extents[0]), std::move(extents[1])};
  if (const std::string wrong = fault_of(tensor); !wrong.empty()) heap.fail(wrong);
  return heap.add_tensor(std::move(tensor));
}

ValueId dict_from_pairs(PickleHeap& heap, const std::vector<ValueId>& arguments) {
  std::vector<ValueId> items;
  if (arguments.size() > 1) heap.fail("OrderedDict has too many arguments");
  if (arguments.size() == 1) {
    want_kind(heap, arguments[0], PickleKind::list, "OrderedDict's argument");
    for (const ValueId pair : heap.items(arguments[0])) {
      const PickleKind kind = heap.kind(pair);
      const bool sequence = kind == PickleKind::list || kind == PickleKind::tuple;
      if (!sequence || heap.items(pair).size() != 2) {
        heap.fail("OrderedDict's argument holds something that is no pair");
      }
      items.insert(items.end(), heap.items(pair).begin(), heap.items(pair).end());
    }
  }
  return heap.add_items(PickleKind::dict, std::move(items));
}

template <typename Number>
Number load(const std::string& bytes) {
  Number value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

ValueId scalar_from(PickleHeap& heap, const std::vector<ValueId>& arguments) {
  if (arguments.size() != 2) heap.fail("a numpy scalar has not two arguments");
  want_kind(heap, arguments[0], PickleKind::numpy_type, "a numpy scalar's type");
  want_kind(heap, arguments[1], PickleKind::bytes, "a numpy scalar's value");
  const std::string& type = heap.text(arguments[0]);
  const std::string& bytes = heap.text(arguments[1]);
  const auto is = [&](const char* name, std::size_t size) {
    return type == name && bytes.size() == size;
  };
  if (is("f8", 8)) return heap.add_real(load<double>(bytes));
  if (is("f4", 4)) return heap.add_real(static_cast<double>(load<float>(bytes)));
  if (is("i8", 8)) return heap.add(PickleKind::integer, load<std::int64_t>(bytes));
  if (is("i4", 4)) return heap.add(PickleKind::integer, load<std::int32_t>(bytes));
  if (is("b1", 1)) return heap.add(PickleKind::boolean, bytes[0] != 0 ? 1 : 0);
  heap.fail(
      fmt::format("a numpy scalar of type '{}' and {} bytes is not read (f8, f4, i8, i4, b1 "
                  "are)",
                  printable(type), bytes.size()));
}

// codecs.encode(text, "latin1"): how protocol 2 writes bytes.
ValueId bytes_from(PickleHeap& heap, const std::vector<ValueId>& arguments) {
  if (arguments.size() != 2) heap.fail("_codecs.encode has not two arguments");
  for (const ValueId argument : arguments) {
    want_kind(heap, argument, PickleKind::text, "_codecs.encode's argument");
  }
  if (heap.text(arguments[1]) != "latin1") {
    heap.fail(fmt::format("_codecs.encode to '{}', latin1 was wanted",
                          printable(heap.text(arguments[1]))));
  }
  const std::string& text = heap.text(arguments[0]);
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
    } else if (lead <= 0xC3 && i + 1 < text.size()) {  // U+0080 to U+00FF; text is valid UTF-8
      const auto next = static_cast<unsigned char>(text[++i]);
      bytes += static_cast<char>(((lead & 0x03u) << 6) | (next & 0x3Fu));
    } else {
      heap.fail("_codecs.encode: a character is not in latin1");
    }
  }
  return heap.add_text(PickleKind::bytes, std::move(bytes));
}

}  // namespace

std::size_t find_global(const PickleHeap& heap, std::string_view module, std::string_view name) {
  for (std::size_t i = 0; i < std::size(globals); ++i) {
    if (globals[i].module == module && globals[i].name == name) return i;
  }
  heap.fail(fmt::format("the pickle wants '{}.{}', which a checkpoint may not name",
                        printable(module), printable(name)));
}

ValueId call_global(PickleHeap& heap, std::size_t index, const std::vector<ValueId>& arguments) {
  const Global& global = globals[index];
  switch (global.role) {
    case Role::ordered_dict:
      return dict_from_pairs(heap, arguments);
    case Role::rebuild_tensor:
      return tensor_from(heap, arguments);
    case Role::rebuild_parameter:
      if (arguments.empty()) heap.fail("a parameter has no tensor");
      want_kind(heap, arguments[0], PickleKind::tensor, "a parameter's data");
      return arguments[0];
    case Role::size:
      if (arguments.size() != 1) heap.fail("torch.Size has not one argument");
      want_kind(heap, arguments[0], PickleKind::tuple, "torch.Size's argument");
      return arguments[0];
    case Role::numpy_scalar:
      return scalar_from(heap, arguments);
    case Role::numpy_type:
      if (arguments.empty()) heap.fail("numpy.dtype has no argument");
      want_kind(heap, arguments[0], PickleKind::text, "numpy.dtype's argument");
      return heap.add_text(PickleKind::numpy_type, heap.text(arguments[0]));
    case Role::encode:
      return bytes_from(heap, arguments);
    case Role::opaque:
      return heap.add(PickleKind::opaque);
    case Role::simple_namespace:
      return new_object(heap, index, arguments);
    case Role::storage_type:
    case Role::element_type:
      break;
  }
  heap.fail(fmt::format("the pickle calls '{}', which is no function", full_name(global)));
}

ValueId new_object(PickleHeap& heap, std::size_t index, const std::vector<ValueId>& arguments) {
  const Global& global = globals[index];
  if (global.role == Role::ordered_dict) return dict_from_pairs(heap, arguments);
  if (global.role != Role::simple_namespace || !arguments.empty()) {
    heap.fail(
        fmt::format("the pickle makes a '{}' in a way that no checkpoint does", full_name(global)));
  }
  return heap.add_items(PickleKind::object, {});
}

void build_object(PickleHeap& heap, ValueId target, ValueId state) {
  switch (heap.kind(target)) {
    case PickleKind::object: {
      want_kind(heap, state, PickleKind::dict, "a Namespace's state");
      const std::vector<ValueId> attributes = heap.items(state);
      heap.append(target, attributes.data(), attributes.size());
      return;
    }
    case PickleKind::dict:  // an OrderedDict's attributes: _metadata, the layers' versions
      want_kind(heap, state, PickleKind::dict, "an OrderedDict's state");
      return;
    case PickleKind::numpy_type: {
      want_kind(heap, state, PickleKind::tuple, "a numpy type's state");
      const auto& fields = heap.items(state);
      if (fields.size() < 2 || heap.kind(fields[1]) != PickleKind::text ||
          heap.text(fields[1]) == ">") {
        heap.fail("a numpy type is not little-endian");
      }
      return;
    }
    default:
      heap.fail(fmt::format("the pickle gives a state to {}", name_of(heap.kind(target))));
  }
}

ValueId load_persistent(PickleHeap& heap, ValueId id) {
  want_kind(heap, id, PickleKind::tuple, "a persistent id");
  const auto& fields = heap.items(id);
  if (fields.size() < 5 || fields.size() > 6 || heap.kind(fields[0]) != PickleKind::text ||
      heap.text(fields[0]) != "storage") {
    heap.fail("a persistent id does not describe a storage");
  }
  want_kind(heap, fields[1], PickleKind::global, "a storage's type");
  want_kind(heap, fields[2], PickleKind::text, "a storage's key");
  want_kind(heap, fields[4], PickleKind::integer, "a storage's number of elements");
  if (fields.size() == 6) {  // a view of another storage: PyTorch before 0.4
    want_kind(heap, fields[5], PickleKind::none, "a storage's view");
  }
  const Global& global = globals[heap.global(fields[1])];
  if (global.role != Role::storage_type) {
    heap.fail(fmt::format("'{}' is no storage type", full_name(global)));
  }
  TorchStorage storage = {global.type, heap.text(fields[2]), heap.integer(fields[4])};
  if (!byte_count(std::array{storage.elements}, storage.type)) {
    heap.fail(
        fmt::format("storage '{}' claims {} elements", printable(storage.key), storage.elements));
  }
  return heap.add_storage(std::move(storage));
}

}  // namespace vitsnna::engine
