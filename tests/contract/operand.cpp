// Fills, reads back and inspects an operand's bytes.
#include "tests/contract/operand.h"

#include <cstring>

namespace vitsnna::contract {
namespace {

constexpr index_t guard_bytes = 256;      // keeps the alignment that the backend's allocator gives
constexpr std::uint8_t unwritten = 0xff;  // NaN in either float type

/// What lies around and between the elements: a signalling NaN, which any arithmetic would turn
/// into another one, and not the same for inputs and outputs, so that a copy shows as well.
std::vector<std::uint8_t> sentinels(Storage storage, bool constant, index_t bytes) {
  const std::uint8_t low = constant ? 0x9c : 0xa5;
  const auto size = static_cast<std::size_t>(Layout{.storage = storage}.element_size());
  std::vector<std::uint8_t> result(static_cast<std::size_t>(bytes), low);
  for (std::size_t k = size - 1; size > 1 && k < result.size(); k += size) result[k] = 0x7f;
  return result;
}

}  // namespace

index_t Operand::offset(index_t item, index_t row, index_t column) const {
  return guard_bytes +
         element_size() * (item * layout_.item_stride() + row * layout_.row_stride() + column);
}

Operand::Operand(const Subject& subject, const Layout& layout, const Values* values, bool constant)
    : subject_(subject),
      layout_(subject.aligned_operands ? layout.aligned() : layout),
      constant_(constant) {
  bytes_ = 2 * guard_bytes + layout_.items * layout_.item_stride() * element_size();
  before_ = sentinels(layout_.storage, constant, bytes_);
  if (values) {
    EXPECT_EQ(static_cast<index_t>(values->size()), layout_.count());
  }
  write(values);
  memory_ = subject.backend->allocate(bytes_);
  upload();
}

void Operand::set(const Values& values) {
  EXPECT_EQ(static_cast<index_t>(values.size()), layout_.count());
  write(&values);
  upload();
}

void Operand::write(const Values* values) {
  index_t next = 0;
  for (index_t item = 0; item < layout_.items; ++item) {
    for (index_t row = 0; row < layout_.rows; ++row) {
      for (index_t column = 0; column < layout_.columns; ++column) {
        std::uint8_t* to = before_.data() + offset(item, row, column);
        if (!values) {
          std::memset(to, unwritten, static_cast<std::size_t>(element_size()));
          continue;
        }
        const double value = (*values)[static_cast<std::size_t>(next++)];
        const auto single = static_cast<float>(value);
        const auto half = kernels::to_bf16(single);
        const auto byte = static_cast<std::uint8_t>(value);
        if (layout_.storage == Storage::f32) std::memcpy(to, &single, 4);
        if (layout_.storage == Storage::bf16) std::memcpy(to, &half, 2);
        if (layout_.storage == Storage::u8) std::memcpy(to, &byte, 1);
      }
    }
  }
}

void Operand::upload() const {
  kernels::Queue queue = subject_.queue();
  subject_.backend->copy_to_device(queue, memory_, before_.data(), bytes_);
  subject_.backend->synchronize(queue);
}

std::vector<std::uint8_t> Operand::download() const {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(bytes_));
  kernels::Queue queue = subject_.queue();
  subject_.backend->copy_to_host(queue, bytes.data(), memory_, bytes_);
  subject_.backend->synchronize(queue);
  return bytes;
}

Operand::~Operand() {
  const std::vector<std::uint8_t> after = download();
  if (constant_) {
    EXPECT_TRUE(after == before_) << "an input was written to";
  } else {
    std::vector<bool> used(after.size(), false);
    for (index_t item = 0; item < layout_.items; ++item) {
      for (index_t row = 0; row < layout_.rows; ++row) {
        const index_t first = offset(item, row, 0), end = offset(item, row, layout_.columns);
        for (index_t k = first; k < end; ++k) used[static_cast<std::size_t>(k)] = true;
      }
    }
    index_t overwritten = 0;
    for (std::size_t k = 0; k < after.size(); ++k)
      overwritten += !used[k] && after[k] != before_[k];
    EXPECT_EQ(overwritten, 0) << "bytes written outside the operand's elements";
  }
  subject_.backend->deallocate(memory_, bytes_);
}

void* Operand::data() const { return static_cast<std::uint8_t*>(memory_) + guard_bytes; }

kernels::Matrix Operand::matrix() const {
  return {data(), layout_.storage == Storage::bf16 ? DType::bf16 : DType::f32,
          layout_.item_stride(), layout_.row_stride()};
}

Values Operand::values() const {
  const std::vector<std::uint8_t> bytes = download();
  Values values;
  for (index_t item = 0; item < layout_.items; ++item) {
    for (index_t row = 0; row < layout_.rows; ++row) {
      for (index_t column = 0; column < layout_.columns; ++column) {
        const std::uint8_t* from = bytes.data() + offset(item, row, column);
        float single = 0.f;
        kernels::bf16 half{};
        if (layout_.storage == Storage::f32) std::memcpy(&single, from, 4);
        if (layout_.storage == Storage::bf16) {
          std::memcpy(&half, from, 2);
          single = kernels::to_float(half);
        }
        values.push_back(layout_.storage == Storage::u8 ? *from : static_cast<double>(single));
      }
    }
  }
  return values;
}

}  // namespace vitsnna::contract
