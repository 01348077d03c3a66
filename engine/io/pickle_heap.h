// What a pickle may make: inert values in flat tables. A value is an index, so that sharing and
// cycles cost nothing, no nesting is too deep to destroy, and what a file can allocate is counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/tensor_file.h"

namespace vitsnna::engine {

using ValueId = std::uint32_t;

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  large_integer,  ///< beyond 64 bits: its little-endian bytes
  real,
  text,   ///< UTF-8
  bytes,  ///< any bytes
  list,
  tuple,
  set,
  dict,        ///< keys and values alternate
  object,      ///< an argparse.Namespace: attributes like a dict
  global,      ///< an entry of the allow-list
  numpy_type,  ///< a numpy.dtype: "f8"
  storage,
  tensor,
  opaque  ///< something harmless that nobody reads: a device, a path
};

const char* name_of(PickleKind kind);

/// A torch storage by reference: where its bytes are is the container's matter.
struct TorchStorage {
  ElementType type = ElementType::f32;
  std::string key;
  std::int64_t elements = 0;
};

/// A view of a storage; every element it reaches is known to lie inside.
struct TorchTensor {
  TorchStorage storage;
  std::int64_t offset = 0;  ///< in elements, as are the strides
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

class PickleHeap {
 public:
  /// `path` is for messages.
  explicit PickleHeap(std::string path) : path_(std::move(path)) {}

  PickleKind kind(ValueId id) const { return values_[id].kind; }
  std::int64_t integer(ValueId id) const { return values_[id].payload; }  ///< boolean too
  double real(ValueId id) const;
  const std::string& text(ValueId id) const;            ///< every kind that is a string
  const std::vector<ValueId>& items(ValueId id) const;  ///< list, tuple, set, dict, object
  std::size_t global(ValueId id) const;                 ///< index into the allow-list
  const TorchStorage& storage(ValueId id) const;
  const TorchTensor& tensor(ValueId id) const;
  std::size_t size() const { return values_.size(); }

  ValueId add(PickleKind kind, std::int64_t payload = 0);
  ValueId add_real(double value);
  ValueId add_text(PickleKind kind, std::string text);
  ValueId add_items(PickleKind kind, std::vector<ValueId> items);
  ValueId add_storage(TorchStorage storage);
  ValueId add_tensor(TorchTensor tensor);
  void append(ValueId container, const ValueId* items, std::size_t count);

  /// Tells that more bytes have been read: what may exist is a multiple of all that were.
  void consume(std::size_t bytes) { consumed_ += bytes; }

  [[noreturn]] void fail(const std::string& what) const;

 private:
  struct Value {
    PickleKind kind;
    std::int64_t payload;  // the number itself, a double's bits, or an index into a table below
  };
  ValueId add_value(PickleKind kind, std::int64_t payload);
  void charge(std::size_t cells, std::size_t text_bytes);

  std::string path_;
  std::vector<Value> values_;
  std::vector<std::string> texts_;
  std::vector<std::vector<ValueId>> items_;
  std::vector<TorchStorage> storages_;
  std::vector<TorchTensor> tensors_;
  std::size_t consumed_ = 0;
  std::size_t cells_ = 0;
  std::size_t text_bytes_ = 0;
};

}  // namespace vitsnna::engine
