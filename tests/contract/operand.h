// Device operands that notice what an op may not do: guards around them and in every gap between
// strided rows, NaN in outputs before they are written, inputs compared afterwards.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/subject.h"
#include "tests/oracle/values.h"

namespace vitsnna::contract {

using oracle::Values;

enum class Storage : std::uint8_t { f32, bf16, u8 };
inline Storage storage_of(DType dtype) {
  return dtype == DType::f32 ? Storage::f32 : Storage::bf16;
}

/// Extents of an operand and the elements left free after each row and each item.
struct Layout {
  index_t items = 1, rows = 1, columns = 0;
  index_t row_gap = 0, item_gap = 0;
  Storage storage = Storage::f32;
  index_t row_stride() const { return columns + row_gap; }
  index_t item_stride() const { return rows * row_stride() + item_gap; }
  index_t count() const { return items * rows * columns; }
  index_t element_size() const {
    return storage == Storage::f32 ? 4 : storage == Storage::bf16 ? 2 : 1;
  }
  /// Where there are gaps, gaps that start every row at a multiple of 16 bytes.
  Layout aligned() const {
    Layout result = *this;
    if (row_gap == 0 && item_gap == 0) return result;
    const index_t unit = 16 / element_size();
    result.row_gap = (row_stride() + unit - 1) / unit * unit - columns;
    result.item_gap = (item_gap + unit - 1) / unit * unit;
    return result;
  }
};

inline Layout dense(index_t columns, Storage storage = Storage::f32) {
  return {1, 1, columns, 0, 0, storage};
}
inline Layout dense(index_t items, index_t rows, index_t columns, DType dtype) {
  return {items, rows, columns, 0, 0, storage_of(dtype)};
}
/// Rows wider than what is used of them, items further apart than their rows need.
inline Layout strided(index_t items, index_t rows, index_t columns, DType dtype) {
  return {items, rows, columns, 5, 11, storage_of(dtype)};
}

class Operand {
 public:
  /// An input: it must be the same after the op.
  static Operand input(const Subject& subject, const Layout& layout, const Values& values) {
    return Operand(subject, layout, &values, true);
  }
  /// An output that starts as NaN (bytes of 0xff).
  static Operand output(const Subject& subject, const Layout& layout) {
    return Operand(subject, layout, nullptr, false);
  }
  /// An operand that the op adds to or rewrites.
  static Operand updated(const Subject& subject, const Layout& layout, const Values& values) {
    return Operand(subject, layout, &values, false);
  }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;
  /// Overwrites the elements, as work that came before the op would.
  void set(const Values& values);
  /// Checks the guards, the gaps and, of an input, every element.
  ~Operand();

  kernels::Matrix matrix() const;
  float* floats() const { return static_cast<float*>(data()); }
  std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(data()); }
  void* data() const;
  /// The elements in order of (item, row, column).
  Values values() const;

 private:
  Operand(const Subject& subject, const Layout& layout, const Values* values, bool constant);
  void write(const Values* values);  ///< to before_
  void upload() const;
  std::vector<std::uint8_t> download() const;
  index_t offset(index_t item, index_t row, index_t column) const;
  index_t element_size() const { return layout_.element_size(); }

  const Subject& subject_;
  Layout layout_;
  bool constant_;
  index_t bytes_ = 0;
  void* memory_ = nullptr;
  std::vector<std::uint8_t> before_;
};

}  // namespace vitsnna::contract
