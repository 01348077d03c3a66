// Element types become fp32 exactly where they can, and messages stay on one line.
#include "engine/io/tensor_file.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/io/mapped_file.h"
#include "engine/io/printable.h"
#include "engine/io/sha256.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::engine {
namespace {

template <typename Stored>
std::vector<float> as_floats(ElementType type, std::vector<Stored> values) {
  // One byte in front: a file's tensors need not be aligned.
  std::vector<std::byte> bytes(1 + values.size() * sizeof(Stored));
  std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(Stored));
  HostTensor tensor;
  tensor.type = type;
  tensor.shape = {static_cast<std::int64_t>(values.size())};
  tensor.bytes = std::span<const std::byte>(bytes).subspan(1);
  return tensor.to_floats();
}

// The value of a half by its definition (IEEE 754, binary16), in double.
double half_value(unsigned bits) {
  const double sign = (bits & 0x8000u) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>((bits >> 10) & 0x1Fu);
  const double mantissa = static_cast<double>(bits & 0x3FFu);
  if (exponent == 0) return sign * mantissa * std::ldexp(1.0, -24);
  return sign * (1024.0 + mantissa) * std::ldexp(1.0, exponent - 25);
}

TEST(TensorFile, EveryFiniteHalfConvertsExactly) {
  std::vector<std::uint16_t> bits;
  for (unsigned i = 0; i <= 0xFFFF; ++i) bits.push_back(static_cast<std::uint16_t>(i));
  const std::vector<float> floats = as_floats(ElementType::f16, bits);
  for (unsigned i = 0; i <= 0xFFFF; ++i) {
    if ((i & 0x7C00u) == 0x7C00u) {
      EXPECT_EQ(std::isnan(floats[i]), (i & 0x3FFu) != 0) << i;
      EXPECT_FALSE(std::isfinite(floats[i])) << i;
    } else {
      ASSERT_EQ(static_cast<double>(floats[i]), half_value(i)) << i;
      ASSERT_EQ(std::signbit(floats[i]), (i & 0x8000u) != 0) << i;
    }
  }
}

TEST(TensorFile, EveryTypeConverts) {
  EXPECT_EQ(as_floats<float>(ElementType::f32, {1.5f, -0.0f}), (std::vector<float>{1.5f, -0.0f}));
  EXPECT_EQ(as_floats<double>(ElementType::f64, {0.1, -2}), (std::vector<float>{0.1f, -2}));
  EXPECT_EQ(as_floats<std::uint16_t>(ElementType::bf16, {0x3FC0, 0xC000}),
            (std::vector<float>{1.5f, -2}));
  EXPECT_EQ(as_floats<std::int64_t>(ElementType::i64, {-7}), (std::vector<float>{-7}));
  EXPECT_EQ(as_floats<std::int32_t>(ElementType::i32, {-7}), (std::vector<float>{-7}));
  EXPECT_EQ(as_floats<std::int16_t>(ElementType::i16, {-7}), (std::vector<float>{-7}));
  EXPECT_EQ(as_floats<std::int8_t>(ElementType::i8, {-7}), (std::vector<float>{-7}));
  EXPECT_EQ(as_floats<std::uint8_t>(ElementType::u8, {200}), (std::vector<float>{200}));
  EXPECT_EQ(as_floats<std::uint8_t>(ElementType::boolean, {0, 1}), (std::vector<float>{0, 1}));
}

TEST(TensorFile, ByteCountRefusesWhatOverflows) {
  using Shape = std::vector<std::int64_t>;
  constexpr std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_EQ(byte_count(Shape{}, ElementType::f32), 4);
  EXPECT_EQ(byte_count(Shape{3, 0}, ElementType::f32), 0);
  EXPECT_EQ(byte_count(Shape{2, 3}, ElementType::f16), 12);
  EXPECT_EQ(byte_count(Shape{huge, huge}, ElementType::u8), std::nullopt);
  EXPECT_EQ(byte_count(Shape{0, huge, huge}, ElementType::u8), std::nullopt);
  EXPECT_EQ(byte_count(Shape{std::numeric_limits<std::int64_t>::max()}, ElementType::f32),
            std::nullopt);
  EXPECT_EQ(byte_count(Shape{-1}, ElementType::f32), std::nullopt);
}

TEST(TensorFile, FromFloatsWantsAsManyValuesAsItsShape) {
  const std::array<float, 3> values = {1, 2, 3};
  EXPECT_EQ(HostTensor::from_floats({3, 1}, values).to_floats(), (std::vector<float>{1, 2, 3}));
  EXPECT_ERROR(HostTensor::from_floats({2, 2}, values), "(2, 2)", "4", "3");
}

TEST(TensorFile, AMissingTensorIsNamed) {
  TensorFile file;
  file.path = "model.safetensors";
  EXPECT_ERROR(file.at("head\nweight"), "model.safetensors", "head\\x0aweight");
}

TEST(TensorFile, AMissingFileAndAFolderAreNamed) {
  const test::TempDirectory folder;
  EXPECT_ERROR(MappedFile::open((folder / "absent").string()), "absent", "No such file");
  EXPECT_ERROR(MappedFile::open(folder.path().string()), folder.path().string(), "a folder");
}

TEST(TensorFile, PrintableLeavesUtf8AndEscapesTheRest) {
  EXPECT_EQ(printable("norm.weight"), "norm.weight");
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(printable("a\nb\xff'"), "a\\x0ab\\xff\\x27");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  for (const char* bad : {"\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\x80"}) {
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
  }
  for (const char* good : {"", "a", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
}

TEST(TensorFile, Sha256IsTheStandards) {
  // FIPS 180-4's own example.
  const std::string_view text = "abc";
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  EXPECT_EQ(sha256(bytes), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const test::TempDirectory folder;
  test::write_bytes(folder / "abc", text);
  EXPECT_EQ(sha256_of_file((folder / "abc").string()), sha256(bytes));
}

}  // namespace
}  // namespace vitsnna::engine
