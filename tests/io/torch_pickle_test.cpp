// .pth files in both containers: tensors come out right, and damage is found before it does harm.
#include "engine/io/torch_pickle.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "tests/support/expect_error.h"
#include "tests/support/pickle_writer.h"

namespace vitsnna::engine {
namespace {

using test::pickled_tensors;
using test::Storages;
using test::TensorSpec;
using test::torch_legacy;
using test::torch_zip;
using test::zip_archive;
using test::ZipMember;

constexpr std::array<float, 6> values = {0, 1, 2, 3, 4, 5};
const TensorSpec plain = {"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}};

std::vector<std::string> all(const std::vector<std::string>& names) { return names; }

TensorFile read(const std::string& bytes, TorchFormat format,
                const TensorSelection& selection = all) {
  // A copy on the heap, so that AddressSanitizer sees a read behind its end, kept by the tensors.
  auto copy = std::make_shared<std::vector<char>>(bytes.begin(), bytes.end());
  const auto view = std::as_bytes(std::span<const char>(*copy));
  return parse_torch("x.pth", format, view, copy, selection);
}

class Container : public testing::TestWithParam<TorchFormat> {
 protected:
  bool legacy() const { return GetParam() == TorchFormat::legacy; }
  std::string file(const std::vector<std::pair<std::string, TensorSpec>>& tensors,
                   const Storages& storages, std::size_t element_size = 4) const {
    const std::string pickle = pickled_tensors(tensors, legacy());
    return legacy() ? torch_legacy(pickle, storages, element_size) : torch_zip(pickle, storages);
  }
  TensorFile read_file(const std::vector<std::pair<std::string, TensorSpec>>& tensors,
                       const Storages& storages, std::size_t element_size = 4) const {
    return read(file(tensors, storages, element_size), GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Torch, Container, testing::Values(TorchFormat::zip, TorchFormat::legacy),
                         [](const auto& parameter) {
                           return parameter.param == TorchFormat::zip ? "zip" : "legacy";
                         });

TEST_P(Container, TensorsComeOutRowMajorWhateverTheirStrides) {
  const TensorFile file = read_file(
      {{"plain", plain},
       {"transposed", {"FloatStorage", "0", 6, 0, {3, 2}, {1, 3}}},
       {"column", {"FloatStorage", "0", 6, 1, {2}, {3}}},
       {"tail", {"FloatStorage", "0", 6, 4, {2}, {1}}},
       {"scalar", {"FloatStorage", "0", 6, 5, {}, {}}},
       {"empty", {"FloatStorage", "0", 6, 0, {0, 3}, {3, 1}}},
       {"one",
        {"FloatStorage", "0", 6, 2, {1, 2, 1}, {99, 2, std::numeric_limits<std::int64_t>::max()}}}},
      {{"0", test::float_bytes(values)}});
  EXPECT_EQ(file.at("plain").to_floats(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file.at("transposed").to_floats(), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(file.at("transposed").shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(file.at("column").to_floats(), (std::vector<float>{1, 4}));
  EXPECT_EQ(file.at("tail").to_floats(), (std::vector<float>{4, 5}));
  EXPECT_EQ(file.at("scalar").to_floats(), (std::vector<float>{5}));
  EXPECT_EQ(file.at("empty").to_floats(), std::vector<float>());
  EXPECT_EQ(file.at("one").to_floats(), (std::vector<float>{2, 4}));
}

TEST_P(Container, HalvesStayHalves) {
  const TensorFile file = read_file({{"w", {"HalfStorage", "0", 2, 0, {2}, {1}}}},
                                    {{"0", std::string("\x00\x3c\x00\xc0", 4)}}, 2);
  EXPECT_EQ(file.at("w").type, ElementType::f16);
  EXPECT_EQ(file.at("w").to_floats(), (std::vector<float>{1, -2}));
}

TEST_P(Container, OnlyWhatIsSelectedIsGiven) {
  const std::string bytes = file({{"a", plain}, {"b", plain}}, {{"0", test::float_bytes(values)}});
  std::vector<std::string> seen;
  const TensorFile found = read(bytes, GetParam(), [&](const std::vector<std::string>& names) {
    seen = names;
    return std::vector<std::string>{"b"};
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(found.tensors.size(), 1u);
  EXPECT_TRUE(found.tensors.contains("b"));
}

TEST_P(Container, ATruncatedFileIsAnErrorWhereverItIsCut) {
  const std::string whole = file({{"w", plain}}, {{"0", test::float_bytes(values)}});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_ERROR(read(whole.substr(0, size), GetParam()), "x.pth");
  }
}

TEST_P(Container, EveryByteChangedIsAnErrorOrStillATensorFile) {
  const std::string whole = file({{"w", plain}}, {{"0", test::float_bytes(values)}});
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char change : {'\x01', '\x80', '\xff'}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ change);
      try {
        const TensorFile found = read(changed, GetParam());
        for (const auto& [name, tensor] : found.tensors) {
          EXPECT_EQ(byte_count(tensor.shape, tensor.type),
                    static_cast<std::int64_t>(tensor.bytes.size()));
        }
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      }
    }
  }
}

TEST_P(Container, AStorageOfAnotherSizeOrAbsentIsNamed) {
  EXPECT_ERROR(read_file({{"w", plain}}, {}), "x.pth", "storage '0'");
  EXPECT_ERROR(read_file({{"w", plain}}, {{"0", std::string(20, '\0')}}), "storage '0'", "6");
  EXPECT_ERROR(read_file({{"w", plain}}, {{"0", std::string(28, '\0')}}), "storage '0'");
}

TEST_P(Container, AViewThatRepeatsItsStorageIsRefusedRatherThanAllocated) {
  const TensorSpec expanded = {"FloatStorage", "0", 6, 0, {1'000'000, 1'000'000}, {0, 0}};
  EXPECT_ERROR(read_file({{"w", expanded}}, {{"0", test::float_bytes(values)}}), "'w'",
               "(1000000, 1000000)", "justifies");
  std::vector<std::pair<std::string, TensorSpec>> many;
  for (int i = 0; i < 5000; ++i) {
    many.push_back({std::to_string(i), {"FloatStorage", "0", 900, 0, {30, 30}, {1, 30}}});
  }
  EXPECT_ERROR(read_file(many, {{"0", std::string(3600, '\0')}}), "justifies");
}

TEST(TorchZip, WhatIsNotPyTorchsArchiveIsRefused) {
  const auto zip = [](const std::vector<ZipMember>& members) {
    return read(zip_archive(members), TorchFormat::zip);
  };
  const std::string pickle = pickled_tensors({});
  EXPECT_ERROR(zip({{"readme.txt", "x"}}), "x.pth", "data.pkl");
  EXPECT_ERROR(zip({{"data.pkl", pickle}}), "x.pth", "data.pkl");
  EXPECT_ERROR(zip({{"a/data.pkl", pickle}, {"b/data.pkl", pickle}}), "more than one");
  EXPECT_ERROR(zip({{"a/data.pkl", pickle}, {"a/constants.pkl", ""}}), "TorchScript");
  EXPECT_ERROR(zip({{"a/data.pkl", pickle}, {"a/byteorder", "big"}}), "byte order", "big");
  EXPECT_TRUE(zip({{"a/data.pkl", pickle}, {"a/byteorder", "little"}}).tensors.empty());
}

TEST(TorchZip, CompressedEntriesAndFalseSizesAreRefusedBeforeAnythingIsUnpacked) {
  const auto bomb = [](ZipMember member) {
    return read(zip_archive({std::move(member)}), TorchFormat::zip);
  };
  ZipMember deflated = {"a/data.pkl", "x"};
  deflated.method = 8;
  deflated.claimed_size = 4'000'000'000;
  EXPECT_ERROR(bomb(deflated), "a/data.pkl", "4000000000");
  ZipMember stored = {"a/data.pkl", "x"};
  stored.claimed_size = 4'000'000'000;
  EXPECT_ERROR(bomb(stored), "x.pth");
  ZipMember encrypted = {"a/data.pkl", "x"};
  encrypted.flags = 1;
  EXPECT_ERROR(bomb(encrypted), "a/data.pkl", "encrypted");
}

TEST(TorchZip, EntriesThatShareTheirBytesAreRefused) {
  // Many directory entries for one member: the declared sizes add up to more than the file.
  const std::string pickle = pickled_tensors({});
  std::vector<ZipMember> members = {{"a/data.pkl", pickle}};
  const std::string honest = zip_archive(members);
  const std::size_t start = honest.find("PK\x01\x02");
  const std::size_t end = honest.find("PK\x05\x06");
  std::string entry = honest.substr(start, end - start);
  std::string directory;
  for (int i = 0; i < 50; ++i) {
    entry[entry.size() - 1] = static_cast<char>('A' + i % 26);
    entry[entry.size() - 2] = static_cast<char>('A' + i / 26);
    directory += entry;
  }
  std::string tail = honest.substr(end);
  const auto count = test::little_endian(std::uint16_t{50});
  tail.replace(8, 2, count).replace(10, 2, count);
  tail.replace(12, 4, test::little_endian(static_cast<std::uint32_t>(directory.size())));
  EXPECT_ERROR(read(honest.substr(0, start) + directory + tail, TorchFormat::zip), "x.pth");
}

TEST(TorchZip, AWrongChecksumIsFound) {
  ZipMember pickle = {"archive/data.pkl", pickled_tensors({{"w", plain}})};
  ZipMember storage = {"archive/data/0", test::float_bytes(values)};
  storage.wrong_checksum = true;
  EXPECT_ERROR(read(zip_archive({pickle, storage}), TorchFormat::zip), "archive/data/0");
  pickle.wrong_checksum = true;
  EXPECT_ERROR(read(zip_archive({pickle}), TorchFormat::zip), "archive/data.pkl");
}

TEST(TorchLegacy, AnotherMagicNumberVersionOrByteOrderIsRefused) {
  using test::Pickle;
  const auto legacy = [](const std::string& bytes) { return read(bytes, TorchFormat::legacy); };
  EXPECT_ERROR(legacy(Pickle().raw("}").stop()), "magic number");
  EXPECT_ERROR(legacy(Pickle()
                          .raw("\x8a\x0a"
                               "0123456789")
                          .stop()),
               "magic number");
  const std::string whole = torch_legacy(pickled_tensors({}, true), {});
  std::string version = whole;
  version[19] ^= 1;  // in the 8 bytes of 1001, behind 15 of the magic number and 4 of opcodes
  EXPECT_ERROR(legacy(version), "version", "1001");
  std::string order = whole;
  order[order.find("little_endian") + 13] = '\x89';
  EXPECT_ERROR(legacy(order), "little-endian");
  EXPECT_ERROR(legacy(whole + "x"), "1 bytes are left");
}

TEST(TorchLegacy, StoragesMustBeListedOnceAndUsed) {
  const std::string pickle = pickled_tensors({{"w", plain}}, true);
  const std::string data = test::float_bytes(values);
  const auto legacy = [&](const Storages& storages) {
    return read(torch_legacy(pickle, storages), TorchFormat::legacy);
  };
  EXPECT_EQ(legacy({{"0", data}}).tensors.size(), 1u);
  EXPECT_ERROR(legacy({{"0", data}, {"0", data}}), "'0'", "twice");
  EXPECT_ERROR(legacy({{"0", data}, {"1", data}}), "'1'", "no tensor");
  const TensorSpec other = {"FloatStorage", "0", 7, 0, {7}, {1}};
  EXPECT_ERROR(
      read(torch_legacy(pickled_tensors({{"v", other}, {"w", plain}}, true), {{"0", data}}),
           TorchFormat::legacy),
      "'0'", "two ways");
}

}  // namespace
}  // namespace vitsnna::engine
