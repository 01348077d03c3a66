// safetensors: what is written is read back, and every way a header can lie is found and named.
#include "engine/io/safetensors.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "tests/support/expect_error.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::engine {
namespace {

using test::safetensors_bytes;
using test::TempDirectory;
using test::write_bytes;

class Safetensors : public testing::Test {
 protected:
  std::string path() const { return (folder_ / "m.safetensors").string(); }
  TensorFile read(const std::string& bytes) const {
    write_bytes(path(), bytes);
    return read_safetensors(path());
  }
  TensorFile read(const std::string& header, std::size_t data_bytes) const {
    return read(safetensors_bytes(header, std::string(data_bytes, '\0')));
  }
  TempDirectory folder_;
};

std::string entry(const std::string& name, const std::string& shape, const std::string& offsets,
                  const std::string& type = "F32") {
  return "\"" + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

TEST_F(Safetensors, WhatIsWrittenIsReadBack) {
  const std::array<float, 6> values = {1, -2, 3.5f, 0, 1e-30f, 1e30f};
  HostTensor bytes = HostTensor::from_floats({6}, values);
  bytes.type = ElementType::u8;
  bytes.shape = {2, 12};
  const std::map<std::string, HostTensor> tensors = {
      {"a", bytes},
      {"b.weight", HostTensor::from_floats({2, 3}, values)},
      {"empty", HostTensor::from_floats({0, 3}, {})},
      {"gr\xc3\xbc\xc3\x9f \"x\"", HostTensor::from_floats({}, std::span(values).first(1))}};
  const std::map<std::string, std::string> metadata = {{"labels", "[\"left\",\"right\"]"},
                                                       {"mean", "0.5"}};
  write_safetensors(path(), tensors, metadata);
  const TensorFile file = read_safetensors(path());
  EXPECT_EQ(file.metadata, metadata);
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const HostTensor& found = file.at(name);
    EXPECT_EQ(found.type, tensor.type);
    EXPECT_EQ(found.shape, tensor.shape);
    EXPECT_EQ(found.to_floats(), tensor.to_floats());
  }
}

TEST_F(Safetensors, WritingTwiceGivesTheSameBytesWithAlignedTensors) {
  const std::array<float, 2> values = {1, 2};
  HostTensor byte = HostTensor::from_floats({1}, std::span(values).first(1));
  byte.type = ElementType::u8;
  byte.shape = {4};
  byte.bytes = byte.bytes.first(3);
  byte.shape = {3};
  const std::map<std::string, HostTensor> tensors = {{"a", byte},
                                                     {"b", HostTensor::from_floats({2}, values)}};
  write_safetensors(path(), tensors, {});
  write_safetensors(folder_ / "again", tensors, {});
  EXPECT_EQ(test::read_bytes(path()), test::read_bytes(folder_ / "again"));
  const TensorFile file = read_safetensors(path());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.at("b").bytes.data()) % alignof(float), 0u);
}

TEST_F(Safetensors, TensorsOutliveTheFileObject) {
  const std::array<float, 2> values = {1, 2};
  write_safetensors(path(), {{"a", HostTensor::from_floats({2}, values)}}, {});
  HostTensor kept;
  {
    const TensorFile file = read_safetensors(path());
    kept = file.at("a");
  }
  std::filesystem::remove(path());
  EXPECT_EQ(kept.to_floats(), (std::vector<float>{1, 2}));
}

TEST_F(Safetensors, SpacesBehindTheHeaderAndNoTensorsAreFine) {
  EXPECT_TRUE(read("{}      ", 0).tensors.empty());
  EXPECT_EQ(read("{" + entry("a", "[1]", "[0,4]") + "}  ", 4).tensors.size(), 1u);
}

TEST_F(Safetensors, ABadHeaderLengthIsRefused) {
  EXPECT_ERROR(read(""), "m.safetensors", "0 bytes");
  EXPECT_ERROR(read("\x02\x00"), "m.safetensors", "too few");
  EXPECT_ERROR(read(std::string(8, '\xff') + "{}"), "m.safetensors", "18446744073709551615");
  EXPECT_ERROR(read(std::string("\x03\0\0\0\0\0\0\0{}", 10)), "m.safetensors", "header length 3");
}

TEST_F(Safetensors, AHeaderLengthAboveTheFormatsLimitIsRefused) {
  const std::uint64_t length = 100'000'001;
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  write_bytes(path(), bytes);
  std::filesystem::resize_file(path(), 8 + length);  // sparse
  EXPECT_ERROR(read_safetensors(path()), "m.safetensors", "100000001", "limit");
}

TEST_F(Safetensors, WhatIsNotTheFormatsJsonIsRefused) {
  for (const char* header :
       {"",
        "{",
        "[]",
        "1",
        "\"a\"",
        "null",
        "{\"a\"}",
        "{\"a\":1}",
        "{\"a\":[]}",
        "{} {}",
        "{}x",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}",
        "{\"__metadata__\":[]}",
        "{\"__metadata__\":{\"a\":1}}",
        "{\"__metadata__\":{\"a\":{}}}",
        "{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,4]}}"}) {
    SCOPED_TRACE(header);
    EXPECT_ERROR(read(header, 4), "m.safetensors");
  }
}

TEST_F(Safetensors, AHeaderThatIsNotUtf8IsRefused) {
  EXPECT_ERROR(read("{" + entry("\xff\xfe", "[1]", "[0,4]") + "}", 4), "UTF-8", "byte 2");
}

TEST_F(Safetensors, DeepNestingIsRefusedWhereItBegins) {
  EXPECT_ERROR(read("{\"a\":" + std::string(1'000'000, '['), 0), "'a'", "an array");
  EXPECT_ERROR(read(R"({"a":{"shape":)" + std::string(1'000'000, '['), 0), "'a'", "an array");
}

TEST_F(Safetensors, DuplicateNamesAreRefused) {
  const std::string a = entry("a", "[1]", "[0,4]");
  EXPECT_ERROR(read("{" + a + "," + entry("a", "[1]", "[4,8]") + "}", 8), "'a'", "twice");
  EXPECT_ERROR(read("{" + a + "," + a + "}", 4), "'a'", "twice");
  EXPECT_ERROR(read(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "'k'", "twice");
  EXPECT_ERROR(read(R"({"__metadata__":{},"__metadata__":{}})", 0), "__metadata__", "twice");
  EXPECT_ERROR(read(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
               "'a'", "'dtype'", "twice");
}

TEST_F(Safetensors, AMissingFieldIsNamed) {
  EXPECT_ERROR(read(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4), "'a'", "no dtype");
  EXPECT_ERROR(read(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4), "'a'", "no shape");
  EXPECT_ERROR(read(R"({"a":{"dtype":"F32","shape":[1]}})", 4), "'a'", "no data_offsets");
}

TEST_F(Safetensors, AnUnknownTypeIsNamed) {
  EXPECT_ERROR(read("{" + entry("a", "[1]", "[0,8]", "C64") + "}", 8), "'a'", "'C64'");
}

TEST_F(Safetensors, OffsetsOutsideTheFileAreRefused) {
  EXPECT_ERROR(read("{" + entry("a", "[2]", "[0,8]") + "}", 4), "'a'", "[0, 8]", "4 bytes");
  EXPECT_ERROR(read("{" + entry("a", "[1]", "[4,0]") + "}", 4), "'a'", "[4, 0]");
  EXPECT_ERROR(read("{" + entry("a", "[1]", "[9223372036854775803,9223372036854775807]") + "}", 4),
               "'a'", "outside");
}

TEST_F(Safetensors, OverlapsAndHolesAreRefused) {
  const std::string a = entry("a", "[2]", "[0,8]");
  EXPECT_ERROR(read("{" + a + "," + entry("b", "[2]", "[4,12]") + "}", 12), "'b'", "inside");
  EXPECT_ERROR(read("{" + a + "," + entry("b", "[2]", "[0,8]") + "}", 8), "'b'", "inside");
  EXPECT_ERROR(read("{" + a + "," + entry("b", "[2]", "[12,20]") + "}", 20), "'b'", "4 bytes");
  EXPECT_ERROR(read("{" + a + "}", 9), "m.safetensors", "last 1 of 9");
  EXPECT_ERROR(read("{}", 9), "m.safetensors", "last 9 of 9");
}

TEST_F(Safetensors, AShapeThatDoesNotFitItsBytesIsRefused) {
  EXPECT_ERROR(read("{" + entry("a", "[3]", "[0,8]") + "}", 8), "'a'", "(3)", "12", "8");
  EXPECT_ERROR(read("{" + entry("a", "[2]", "[0,8]", "F16") + "}", 8), "'a'", "float16", "4");
  EXPECT_ERROR(read("{" + entry("a", "[4294967296,4294967296]", "[0,0]") + "}", 0), "'a'",
               "too large");
  EXPECT_ERROR(read("{" + entry("a", "[0,4294967296,4294967296]", "[0,0]") + "}", 0), "'a'",
               "too large");
  std::string many = "[1";
  for (int i = 0; i < 100; ++i) many += ",1";
  EXPECT_ERROR(read("{" + entry("a", many + "]", "[0,4]") + "}", 4), "'a'", "64 dimensions");
}

TEST_F(Safetensors, NamesInMessagesStayOnOneLine) {
  EXPECT_ERROR(read("{" + entry("a\\nb", "[3]", "[0,8]") + "}", 8), "a\\x0ab");
  EXPECT_ERROR(read("{" + entry(std::string(100'000, 'n'), "[3]", "[0,8]") + "}", 8), "nnn...");
}

TEST_F(Safetensors, WhatTheFormatCannotHoldIsNotWritten) {
  const std::array<float, 1> value = {1};
  const HostTensor tensor = HostTensor::from_floats({1}, value);
  HostTensor wrong = tensor;
  wrong.shape = {2};
  EXPECT_ERROR(write_safetensors(path(), {{"__metadata__", tensor}}, {}), "__metadata__");
  EXPECT_ERROR(write_safetensors(path(), {{"\xff", tensor}}, {}), "UTF-8");
  EXPECT_ERROR(write_safetensors(path(), {{"a", tensor}}, {{"k", "\xff"}}), "UTF-8");
  EXPECT_ERROR(write_safetensors(path(), {{"a", wrong}}, {}), "'a'", "size");
  EXPECT_EQ(folder_.entries(), 0u);
}

}  // namespace
}  // namespace vitsnna::engine
