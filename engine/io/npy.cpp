// The .npy format (numpy/lib/format.py): magic, version, header length, a Python dict, the data.
#include "engine/io/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/io/atomic_file.h"
#include "engine/io/mapped_file.h"
#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t header_alignment = 64;
constexpr std::size_t growth_digits = 21;  // numpy leaves room for the first extent to grow
constexpr std::size_t largest_rank = 64;

struct Header {
  std::optional<std::string> type;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

// The one kind of Python literal that numpy writes: a dict of strings to a string, a bool and a
// tuple of integers.
class HeaderParser {
 public:
  HeaderParser(std::string path, std::string_view text) : path_(std::move(path)), text_(text) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !header.type) {
        if (peek() == '[') fail("structured data, plain numbers were wanted");
        header.type = quoted();
      } else if (key == "fortran_order" && !header.fortran_order) {
        header.fortran_order = boolean();
      } else if (key == "shape" && !header.shape) {
        header.shape = tuple();
      } else {
        fail(fmt::format("the header's key '{}' is unknown or stands twice", printable(key)));
      }
      if (!accept(',') && peek() != '}') malformed();
    }
    if (peek() != '\0' || at_ != text_.size()) malformed();
    if (!header.type || !header.fortran_order || !header.shape) {
      fail("the header lacks one of descr, fortran_order and shape");
    }
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: {}", printable(path_, 1000), what));
  }
  [[noreturn]] void malformed() const {
    fail(fmt::format("the .npy header is malformed at '{}'", printable(text_.substr(at_), 40)));
  }

  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (at_ >= text_.size() || !accept(wanted)) malformed();
  }

  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') malformed();
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) malformed();
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    if (value.find('\\') != std::string::npos) malformed();
    at_ = end + 1;
    return value;
  }

  bool boolean() {
    peek();
    for (const auto& [word, value] :
         {std::pair(std::string_view("True"), true), std::pair(std::string_view("False"), false)}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    malformed();
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      peek();
      std::int64_t value = 0;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
      if (error != std::errc() || value < 0) malformed();
      at_ += static_cast<std::size_t>(end - begin);
      values.push_back(value);
      if (values.size() > largest_rank) fail("the shape has more than 64 dimensions");
      if (!accept(',') && peek() != ')') malformed();
    }
    return values;
  }

  std::string path_;
  std::string_view text_;
  std::size_t at_ = 0;
};

std::optional<ElementType> type_of(std::string_view descr) {
  constexpr std::pair<std::string_view, ElementType> rows[] = {
      {"<f8", ElementType::f64}, {"<f4", ElementType::f32}, {"<f2", ElementType::f16},
      {"<i8", ElementType::i64}, {"<i4", ElementType::i32}, {"<i2", ElementType::i16},
      {"|i1", ElementType::i8},  {"|u1", ElementType::u8},  {"|b1", ElementType::boolean}};
  for (const auto& [name, type] : rows) {
    if (descr == name) return type;
  }
  return std::nullopt;
}

// The C-order index of an element, as numpy prints it.
std::string index_text(const HostTensor& tensor, std::int64_t element) {
  std::vector<std::int64_t> index(tensor.shape.size());
  for (std::size_t d = tensor.shape.size(); d-- > 0;) {
    index[d] = element % tensor.shape[d];
    element /= tensor.shape[d];
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

}  // namespace

HostTensor parse_npy(const std::string& path, std::span<const std::byte> bytes,
                     std::shared_ptr<const void> owner) {
  const auto fail = [&](const std::string& what) {
    throw Error(fmt::format("{}: {}", printable(path, 1000), what));
  };
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, magic.size()) != magic) {
    fail(text.empty() ? "is empty, a .npy file was wanted" : "is not a .npy file");
  }
  if (text.size() < 10) fail("is truncated inside the .npy header");
  const int major = static_cast<unsigned char>(text[6]);
  if (major < 1 || major > 3) {
    fail(fmt::format(".npy format {} is not known (1 to 3 are)", major));
  }
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  const std::size_t start = magic.size() + 2 + length_bytes;
  std::uint32_t length = 0;
  if (text.size() < start) fail("is truncated inside the .npy header");
  std::memcpy(&length, bytes.data() + magic.size() + 2, length_bytes);
  if (length > text.size() - start) {
    fail(fmt::format("the header length {} is beyond the file's {} bytes", length, text.size()));
  }

  const Header header = HeaderParser(path, text.substr(start, length)).parse();
  const auto type = type_of(*header.type);
  if (!type) {
    fail(
        fmt::format("type '{}' is not read (little-endian f8, f4, f2, i8, i4, i2, i1, u1 and b1 "
                    "are)",
                    printable(*header.type)));
  }
  if (*header.fortran_order) fail("the array is in Fortran order, C order was wanted");

  HostTensor tensor;
  tensor.type = *type;
  tensor.shape = *header.shape;
  tensor.bytes = bytes.subspan(start + length);
  tensor.storage = std::move(owner);
  const auto wanted = byte_count(tensor.shape, tensor.type);
  if (!wanted || *wanted != static_cast<std::int64_t>(tensor.bytes.size())) {
    fail(fmt::format("shape {} of {} takes {} bytes, the file holds {}", tensor.shape_text(),
                     name_of(tensor.type), wanted ? std::to_string(*wanted) : "too many",
                     tensor.bytes.size()));
  }
  return tensor;
}

HostTensor read_npy(const std::string& path) {
  auto mapping = MappedFile::open(path);
  const std::span<const std::byte> bytes = mapping->bytes();
  return parse_npy(path, bytes, std::move(mapping));
}

void require_float32(const HostTensor& tensor, const std::string& path) {
  if (tensor.type == ElementType::f32) return;
  throw Error(fmt::format("{}: the array is {}, float32 was wanted", printable(path, 1000),
                          name_of(tensor.type)));
}

void require_rank(const HostTensor& tensor, const std::string& path,
                  std::span<const std::size_t> ranks) {
  const std::size_t found = tensor.shape.size();
  if (std::find(ranks.begin(), ranks.end(), found) != ranks.end()) return;
  throw Error(fmt::format("{}: the array has shape {}, {} dimensions were wanted",
                          printable(path, 1000), tensor.shape_text(), fmt::join(ranks, " or ")));
}

void require_finite(const HostTensor& tensor, const std::string& path) {
  require_float32(tensor, path);
  for (std::int64_t i = 0; i < tensor.elements(); ++i) {
    float value = 0;
    std::memcpy(&value, tensor.bytes.data() + static_cast<std::size_t>(i) * sizeof value,
                sizeof value);
    if (!std::isfinite(value)) {
      throw Error(fmt::format("{}: element {} is {}, finite numbers were wanted",
                              printable(path, 1000), index_text(tensor, i), value));
    }
  }
}

std::string npy_header(const std::filesystem::path& path, const std::vector<std::int64_t>& shape,
                       std::size_t elements) {
  const auto wanted = byte_count(shape, ElementType::f32);
  if (!wanted || *wanted != static_cast<std::int64_t>(elements * sizeof(float))) {
    throw Error(fmt::format("{}: shape ({}) was given {} values", printable(path.string(), 1000),
                            fmt::join(shape, ", "), elements));
  }
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{}), }}",
                                   fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  if (!shape.empty()) header.append(growth_digits - std::to_string(shape.front()).size(), ' ');
  const std::size_t before = magic.size() + 2 + 2;
  // Spaces and a newline up to the alignment; numpy writes a whole line of them where none fit.
  header.append(header_alignment - (before + header.size() + 1) % header_alignment, ' ');
  header += '\n';
  if (header.size() > 0xFFFF) {
    throw Error(fmt::format("{}: too many dimensions for a .npy file", printable(path.string())));
  }
  std::string prefix(magic);
  prefix += '\x01';
  prefix += '\0';
  prefix += static_cast<char>(header.size() & 0xFF);
  prefix += static_cast<char>(header.size() >> 8);
  return prefix + header;
}

void write_npy(const std::filesystem::path& path, const std::vector<std::int64_t>& shape,
               std::span<const float> values) {
  const std::string header = npy_header(path, shape, values.size());
  AtomicFile file(path);
  file.write(header);
  file.write(std::as_bytes(values));
  file.commit();
}

}  // namespace vitsnna::engine
