// Element types and their conversion to fp32.
#include "engine/io/tensor_file.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

struct TypeRow {
  std::int64_t size;
  const char* name;
};

// In the order of ElementType.
constexpr TypeRow type_rows[] = {{8, "float64"}, {4, "float32"}, {2, "float16"}, {2, "bfloat16"},
                                 {8, "int64"},   {4, "int32"},   {2, "int16"},   {1, "int8"},
                                 {1, "uint8"},   {1, "bool"}};

float from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1Fu;
  const std::uint32_t mantissa = half & 0x3FFu;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact in fp32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// The bytes of a file are not aligned: each element is copied out.
template <typename Stored, typename Convert>
void convert(std::span<const std::byte> bytes, float* destination, Convert to_float) {
  const std::size_t count = bytes.size() / sizeof(Stored);
  for (std::size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    destination[i] = to_float(value);
  }
}

constexpr auto as_float = [](auto value) { return static_cast<float>(value); };

}  // namespace

static_assert(std::endian::native == std::endian::little, "every file read here is little-endian");

std::int64_t size_of(ElementType type) { return type_rows[static_cast<std::size_t>(type)].size; }

const char* name_of(ElementType type) { return type_rows[static_cast<std::size_t>(type)].name; }

std::optional<std::int64_t> byte_count(std::span<const std::int64_t> shape, ElementType type) {
  // Every partial product is checked, an extent of 0 behind a huge one included: numpy and torch
  // refuse such a shape too.
  std::int64_t product = size_of(type);
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent != 0 && __builtin_mul_overflow(product, extent, &product)) return std::nullopt;
  }
  for (const std::int64_t extent : shape) {
    if (extent == 0) return 0;
  }
  return product;
}

std::int64_t HostTensor::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

void HostTensor::copy_to(float* destination) const {
  switch (type) {
    case ElementType::f32:
      if (!bytes.empty()) std::memcpy(destination, bytes.data(), bytes.size());
      return;
    case ElementType::f64:
      return convert<double>(bytes, destination, as_float);
    case ElementType::f16:
      return convert<std::uint16_t>(bytes, destination, from_half);
    case ElementType::bf16:
      return convert<std::uint16_t>(bytes, destination, from_bfloat16);
    case ElementType::i64:
      return convert<std::int64_t>(bytes, destination, as_float);
    case ElementType::i32:
      return convert<std::int32_t>(bytes, destination, as_float);
    case ElementType::i16:
      return convert<std::int16_t>(bytes, destination, as_float);
    case ElementType::i8:
      return convert<std::int8_t>(bytes, destination, as_float);
    case ElementType::u8:
      return convert<std::uint8_t>(bytes, destination, as_float);
    case ElementType::boolean:
      return convert<std::uint8_t>(bytes, destination,
                                   [](std::uint8_t value) { return value != 0 ? 1.0f : 0.0f; });
  }
}

std::vector<float> HostTensor::to_floats() const {
  std::vector<float> values(static_cast<std::size_t>(elements()));
  copy_to(values.data());
  return values;
}

std::string HostTensor::shape_text() const { return fmt::format("({})", fmt::join(shape, ", ")); }

HostTensor HostTensor::from_floats(std::vector<std::int64_t> shape, std::span<const float> values) {
  auto owned = std::make_shared<const std::vector<float>>(values.begin(), values.end());
  HostTensor tensor;
  tensor.type = ElementType::f32;
  tensor.shape = std::move(shape);
  tensor.bytes = std::as_bytes(std::span<const float>(*owned));
  tensor.storage = std::move(owned);
  if (tensor.elements() != static_cast<std::int64_t>(values.size())) {
    throw Error(fmt::format("a tensor of shape {} holds {} elements, {} were given",
                            tensor.shape_text(), tensor.elements(), values.size()));
  }
  return tensor;
}

const HostTensor& TensorFile::at(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    throw Error(fmt::format("{}: holds no tensor '{}'", printable(path, 1000), printable(name)));
  }
  return found->second;
}

}  // namespace vitsnna::engine
