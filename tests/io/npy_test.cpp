// .npy files: numpy's own bytes in and out, and everything else refused by name.
#include "engine/io/npy.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::engine {
namespace {

using namespace std::string_literals;
using test::read_bytes;
using test::TempDirectory;
using test::write_bytes;

std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string bytes = "\x93NUMPY"s + static_cast<char>(version) + '\0';
  bytes += static_cast<char>(header.size() & 0xFF);
  bytes += static_cast<char>(header.size() >> 8);
  if (version > 1) bytes += std::string(2, '\0');
  return bytes + header + data;
}

std::string header(const std::string& type, const std::string& shape,
                   const std::string& fortran = "False") {
  return "{'descr': '" + type + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
}

class Npy : public testing::Test {
 protected:
  HostTensor read(const std::string& bytes) {
    write_bytes(folder_ / "x.npy", bytes);
    return read_npy((folder_ / "x.npy").string());
  }
  TempDirectory folder_;
};

TEST_F(Npy, WhatIsWrittenIsReadBack) {
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{}, {1}, {7}, {2, 3}, {0, 4}, {2, 3, 4, 5}}) {
    const std::int64_t count =
        std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    std::vector<float> values(static_cast<std::size_t>(count));
    std::iota(values.begin(), values.end(), -3.5f);
    write_npy(folder_ / "y.npy", shape, values);
    const HostTensor tensor = read_npy((folder_ / "y.npy").string());
    EXPECT_EQ(tensor.type, ElementType::f32);
    EXPECT_EQ(tensor.shape, shape);
    EXPECT_EQ(tensor.to_floats(), values);
  }
}

// Bytes that numpy.save (2.x) writes for np.arange(6, dtype='<f4').reshape(2, 3): the header is
// padded for the first extent to grow to 21 digits, then to a multiple of 64.
TEST_F(Npy, WritesTheBytesThatNumpyWrites) {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  write_npy(folder_ / "y.npy", {2, 3}, values);
  const std::string bytes = read_bytes(folder_ / "y.npy");
  ASSERT_EQ(bytes.size(), 128u + 24u);
  EXPECT_EQ(bytes.substr(0, 10), "\x93NUMPY\x01\x00\x76\x00"s);
  EXPECT_EQ(bytes.substr(10, 118), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" +
                                       std::string(58, ' ') + "\n");
  write_npy(folder_ / "y.npy", {6}, values);
  EXPECT_EQ(read_bytes(folder_ / "y.npy").substr(10, 57),
            "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }");
}

TEST_F(Npy, ReadsAllThreeFormatsAndOtherTypes) {
  const std::string two = "\x00\x00\x80\x3f\x00\x00\x00\xc0"s;
  for (const int version : {1, 2, 3}) {
    EXPECT_EQ(read(npy(header("<f4", "(2,)"), two, version)).to_floats(),
              (std::vector<float>{1, -2}));
  }
  EXPECT_EQ(read(npy(header("<f8", "(1,)"), "\0\0\0\0\0\0\xf8\x3f"s)).to_floats(),
            (std::vector<float>{1.5f}));
  EXPECT_EQ(read(npy(header("<f2", "()"), "\x00\x3c"s)).to_floats(), (std::vector<float>{1}));
  EXPECT_EQ(read(npy(header("|u1", "(1, 1)"), "\x05")).to_floats(), (std::vector<float>{5}));
  EXPECT_EQ(read(npy(header("|b1", "(2,)"), "\x01\x00"s)).to_floats(), (std::vector<float>{1, 0}));
}

TEST_F(Npy, WhatIsNoNpyFileIsRefused) {
  EXPECT_ERROR(read_npy((folder_ / "absent.npy").string()), "absent.npy", "No such file");
  EXPECT_ERROR(read(""), "x.npy", "empty");
  EXPECT_ERROR(read("PNG"), "x.npy", "not a .npy file");
  EXPECT_ERROR(read("\x93NUMPY"), "x.npy", "truncated");
  EXPECT_ERROR(read("\x93NUMPY\x02\x00\x10\x00"s), "x.npy", "truncated");
  EXPECT_ERROR(read("\x93NUMPY\x09\x00\x10\x00"s), "x.npy", "format 9");
  EXPECT_ERROR(read("\x93NUMPY\x01\x00\xff\xff{}"s), "x.npy", "65535");
}

TEST_F(Npy, AMalformedHeaderIsRefused) {
  const std::string four(4, '\0');
  for (const char* text :
       {"", "{", "}", "[]", "{'descr'}", "{'descr': '<f4'", "{'descr': 4}",
        "{'descr': '<f4', 'fortran_order': False}", "{'descr': '<f4', 'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': True}"}) {
    SCOPED_TRACE(text);
    EXPECT_ERROR(read(npy(text, four)), "x.npy", "header");
  }
  std::string deep = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (int i = 0; i < 100; ++i) deep += "1,";
  EXPECT_ERROR(read(npy(deep + ")}", four)), "x.npy", "64 dimensions");
}

TEST_F(Npy, TypesAndOrdersThatAreNotReadAreNamed) {
  EXPECT_ERROR(read(npy(header(">f4", "(1,)"), "\0\0\0\0"s)), "x.npy", ">f4");
  EXPECT_ERROR(read(npy(header("<c8", "(1,)"), std::string(8, '\0'))), "x.npy", "<c8");
  EXPECT_ERROR(read(npy(header("|O", "(1,)"), std::string(8, '\0'))), "x.npy", "|O");
  EXPECT_ERROR(read(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "")),
               "x.npy", "structured");
  EXPECT_ERROR(read(npy(header("<f4", "(1, 1)", "True"), "\0\0\0\0"s)), "x.npy", "Fortran");
}

TEST_F(Npy, MoreOrFewerBytesThanTheShapeTakesAreRefused) {
  EXPECT_ERROR(read(npy(header("<f4", "(2, 3)"), std::string(23, '\0'))), "x.npy", "(2, 3)", "24",
               "23");
  EXPECT_ERROR(read(npy(header("<f4", "(2, 3)"), std::string(25, '\0'))), "x.npy", "24", "25");
  EXPECT_ERROR(read(npy(header("<f4", "(4611686018427387904, 4)"), std::string(16, '\0'))), "x.npy",
               "too many");
}

TEST_F(Npy, TheChecksNameWhatTheyFoundAndWhatTheyWanted) {
  const HostTensor bytes = read(npy(header("|u1", "(1, 1)"), "\x05"));
  EXPECT_ERROR(require_float32(bytes, "x.npy"), "x.npy", "uint8", "float32");
  const std::size_t ranks[] = {3, 4};
  EXPECT_ERROR(require_rank(bytes, "x.npy", ranks), "x.npy", "(1, 1)", "3 or 4");
  const std::size_t two[] = {2};
  require_rank(bytes, "x.npy", two);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> values = {0, 1, 2, 3, bad, 5};
    const HostTensor tensor = HostTensor::from_floats({2, 3}, values);
    EXPECT_ERROR(require_finite(tensor, "x.npy"), "x.npy", "[1, 1]");
  }
  require_finite(HostTensor::from_floats({1}, std::vector<float>{1}), "x.npy");
}

TEST_F(Npy, WritingWantsAsManyValuesAsTheShape) {
  const std::vector<float> values(5);
  EXPECT_ERROR(write_npy(folder_ / "y.npy", {2, 3}, values), "y.npy", "(2, 3)", "5");
  EXPECT_EQ(folder_.entries(), 0u);
}

}  // namespace
}  // namespace vitsnna::engine
