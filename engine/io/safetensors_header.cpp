// The header is read event by event (SAX): a document model would drop the second of two equal
// names without a word, and would let a file choose how deep a tree is built.
#include "engine/io/safetensors_header.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

struct TypeName {
  const char* name;
  ElementType type;
};

constexpr TypeName type_names[] = {{"F64", ElementType::f64}, {"F32", ElementType::f32},
                                   {"F16", ElementType::f16}, {"BF16", ElementType::bf16},
                                   {"I64", ElementType::i64}, {"I32", ElementType::i32},
                                   {"I16", ElementType::i16}, {"I8", ElementType::i8},
                                   {"U8", ElementType::u8},   {"BOOL", ElementType::boolean}};

constexpr std::size_t largest_rank = 64;

class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderHandler(std::string path) : path_(std::move(path)) {}

  SafetensorsHeader take() {
    if (state_ != State::finished) fail("the header ends too early");
    return std::move(header_);
  }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_float(double, const std::string&) override { return unexpected("a fraction"); }
  bool binary(nlohmann::json::binary_t&) override { return unexpected("binary data"); }

  bool number_integer(std::int64_t value) override {
    return unexpected(fmt::format("the number {}", value).c_str());
  }

  bool number_unsigned(std::uint64_t value) override {
    if (state_ != State::in_shape && state_ != State::in_offsets) return unexpected("a number");
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(fmt::format("tensor '{}': the number {} is too large", printable(name_), value));
    }
    numbers_.push_back(static_cast<std::int64_t>(value));
    if (state_ == State::in_shape && numbers_.size() > largest_rank) {
      fail(fmt::format("tensor '{}': more than {} dimensions", printable(name_), largest_rank));
    }
    if (state_ == State::in_offsets && numbers_.size() > 2) {
      fail(fmt::format("tensor '{}': more than two data_offsets", printable(name_)));
    }
    return true;
  }

  bool string(std::string& value) override {
    if (state_ == State::metadata_value) {
      header_.metadata.emplace(key_, std::move(value));
      state_ = State::in_metadata;
      return true;
    }
    if (state_ != State::dtype_value) return unexpected("a string");
    for (const TypeName& row : type_names) {
      if (value == row.name) {
        entry_.type = row.type;
        state_ = State::in_tensor;
        return true;
      }
    }
    fail(
        fmt::format("tensor '{}': dtype '{}' is not known (F64, F32, F16, BF16, I64, I32, I16, I8, "
                    "U8, BOOL are)",
                    printable(name_), printable(value)));
  }

  bool start_object(std::size_t) override {
    switch (state_) {
      case State::before:
        state_ = State::in_header;
        return true;
      case State::tensor_value:
        state_ = State::in_tensor;
        entry_ = {};
        fields_.clear();
        return true;
      case State::metadata_object:
        state_ = State::in_metadata;
        return true;
      default:
        return unexpected("an object");
    }
  }

  bool key(std::string& name) override {
    if (state_ == State::in_header) {
      name_ = name;
      if (!names_.insert(name).second) {
        fail(fmt::format("the name '{}' stands twice in the header", printable(name)));
      }
      state_ = name == "__metadata__" ? State::metadata_object : State::tensor_value;
    } else if (state_ == State::in_metadata) {
      if (header_.metadata.contains(name)) {
        fail(fmt::format("the metadata name '{}' stands twice in the header", printable(name)));
      }
      key_ = name;
      state_ = State::metadata_value;
    } else {  // in_tensor: the parser gives keys inside objects only
      if (!fields_.insert(name).second) {
        fail(fmt::format("tensor '{}': '{}' stands twice", printable(name_), printable(name)));
      }
      if (name == "dtype") {
        state_ = State::dtype_value;
      } else if (name == "shape") {
        state_ = State::shape_value;
      } else if (name == "data_offsets") {
        state_ = State::offsets_value;
      } else {
        fail(
            fmt::format("tensor '{}': unknown field '{}' (dtype, shape and data_offsets are known)",
                        printable(name_), printable(name)));
      }
    }
    return true;
  }

  bool end_object() override {
    switch (state_) {
      case State::in_tensor:
        for (const char* field : {"dtype", "shape", "data_offsets"}) {
          if (!fields_.contains(field)) {
            fail(fmt::format("tensor '{}': no {}", printable(name_), field));
          }
        }
        header_.entries.emplace(name_, std::move(entry_));
        state_ = State::in_header;
        return true;
      case State::in_metadata:
        state_ = State::in_header;
        return true;
      default:  // in_header
        state_ = State::finished;
        return true;
    }
  }

  bool start_array(std::size_t) override {
    numbers_.clear();
    if (state_ == State::shape_value) {
      state_ = State::in_shape;
    } else if (state_ == State::offsets_value) {
      state_ = State::in_offsets;
    } else {
      return unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    if (state_ == State::in_shape) {
      entry_.shape = numbers_;
    } else {
      if (numbers_.size() != 2) {
        fail(fmt::format("tensor '{}': {} data_offsets, two were wanted", printable(name_),
                         numbers_.size()));
      }
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    state_ = State::in_tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // The library's text ends in what it read; its beginning says where and what.
    fail(fmt::format("the header is not valid JSON at byte {}: {}", position,
                     printable(error.what(), 200)));
  }

 private:
  enum class State {
    before,
    in_header,
    metadata_object,
    in_metadata,
    metadata_value,
    tensor_value,
    in_tensor,
    dtype_value,
    shape_value,
    in_shape,
    offsets_value,
    in_offsets,
    finished
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: {}", printable(path_, 1000), what));
  }

  bool unexpected(const char* found) const {
    switch (state_) {
      case State::before:
        fail(fmt::format("the header is {}, an object was wanted", found));
      case State::metadata_object:
        fail(fmt::format("__metadata__ is {}, an object of strings was wanted", found));
      case State::metadata_value:
        fail(fmt::format("metadata '{}' is {}, a string was wanted", printable(key_), found));
      case State::tensor_value:
        fail(fmt::format("tensor '{}' is {}, an object was wanted", printable(name_), found));
      case State::dtype_value:
        fail(fmt::format("tensor '{}': dtype is {}, a string was wanted", printable(name_), found));
      case State::shape_value:
      case State::in_shape:
        fail(fmt::format("tensor '{}': shape holds {}, an array of numbers from 0 was wanted",
                         printable(name_), found));
      case State::offsets_value:
      case State::in_offsets:
        fail(fmt::format("tensor '{}': data_offsets holds {}, two numbers from 0 were wanted",
                         printable(name_), found));
      default:
        fail(fmt::format("the header holds {} where it may not", found));
    }
  }

  std::string path_;
  State state_ = State::before;
  std::string name_;  // tensor being read
  std::string key_;   // metadata being read
  std::set<std::string> names_;
  std::set<std::string> fields_;
  SafetensorsEntry entry_;
  std::vector<std::int64_t> numbers_;
  SafetensorsHeader header_;
};

}  // namespace

const char* safetensors_type(ElementType type) {
  for (const TypeName& row : type_names) {
    if (row.type == type) return row.name;
  }
  return nullptr;
}

SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view json) {
  if (const std::size_t valid = valid_utf8_prefix(json); valid != json.size()) {
    throw Error(
        fmt::format("{}: the header is not UTF-8 at byte {}", printable(path, 1000), valid));
  }
  HeaderHandler handler(path);
  nlohmann::json::sax_parse(json.begin(), json.end(), &handler);
  return handler.take();
}

}  // namespace vitsnna::engine
