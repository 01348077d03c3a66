// Bad model files: each ends in exit code 1 and one line that names the file, with nothing written.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "engine/io/safetensors.h"
#include "tests/cli/cli_fixture.h"
#include "tests/support/pickle_writer.h"
#include "tests/support/safetensors_bytes.h"

namespace vitsnna::test {
namespace {

class CliBadModel : public CliTest {
 protected:
  void expect_refused(const std::string& name, const std::vector<std::string>& texts = {}) const {
    std::vector<std::string> named = {name};
    named.insert(named.end(), texts.begin(), texts.end());
    expect_nothing_written(
        run_binary({"explain", "--model", file(name), "--output", file("out"), file("street.png")}),
        1, named);
    expect_failure(run_binary({"convert", file(name), file("converted.safetensors")}), 1, named);
    EXPECT_FALSE(std::filesystem::exists(file("converted.safetensors")));
  }

  /// The small model with one change to its tensors.
  void save_changed(const std::string& name,
                    const std::function<void(std::map<std::string, engine::HostTensor>&)>& change) {
    engine::TensorFile model = engine::read_safetensors(file("model.safetensors"));
    change(model.tensors);
    engine::write_safetensors(file(name), model.tensors, model.metadata);
  }
};

TEST_F(CliBadModel, SafetensorsWhoseBytesDoNotAddUp) {
  const std::string good = read_bytes(file("model.safetensors"));
  write_bytes(file("length.safetensors"), std::string(8, '\xFF') + good.substr(8));
  expect_refused("length.safetensors");
  write_bytes(file("cut.safetensors"), good.substr(0, good.size() / 2));
  expect_refused("cut.safetensors");
  write_bytes(file("empty.safetensors"), "");
  expect_refused("empty.safetensors");
  write_bytes(
      file("overlap.safetensors"),
      safetensors_bytes(R"({"head.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                        R"("head.bias":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                        std::string(12, '\0')));
  expect_refused("overlap.safetensors", {"head."});
  write_bytes(
      file("outside.safetensors"),
      safetensors_bytes(R"({"head.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                        std::string(4, '\0')));
  expect_refused("outside.safetensors");
  write_bytes(file("twice.safetensors"),
              safetensors_bytes(R"({"head.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                R"("head.bias":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                                std::string(8, '\0')));
  expect_refused("twice.safetensors", {"head.bias"});
}

TEST_F(CliBadModel, TensorsMissingExtraOrMisshapen) {
  save_changed("missing.safetensors", [](auto& tensors) { tensors.erase("blocks.1.norm2.bias"); });
  expect_refused("missing.safetensors", {"blocks.1.norm2.bias"});
  save_changed("extra.safetensors", [](auto& tensors) {
    tensors.emplace("decoder.weight",
                    engine::HostTensor::from_floats({1}, std::vector<float>{1.f}));
  });
  expect_refused("extra.safetensors", {"decoder.weight"});
  save_changed("shape.safetensors", [](auto& tensors) {
    tensors["norm.bias"] = engine::HostTensor::from_floats({2}, std::vector<float>{1.f, 2.f});
  });
  expect_refused("shape.safetensors", {"norm.bias", "(2)", "(64)"});
}

TEST_F(CliBadModel, HeadsThatDoNotDivideTheWidth) {
  expect_nothing_written(explain({file("street.png"), "--heads", "3"}), 1,
                         {"model.safetensors", "3", "64"});
}

TEST_F(CliBadModel, PicklesThatAreCutOrDoWhatWeightsNeverDo) {
  const TensorSpec plain = {"FloatStorage", "0", 4, 0, {2, 2}, {2, 1}};
  const Storages storages = {{"0", std::string(16, '\0')}};
  const std::string good = torch_zip(pickled_tensors({{"w", plain}}), storages);
  write_bytes(file("cut.pth"), good.substr(0, good.size() / 2));
  expect_refused("cut.pth");
  write_bytes(file("opcode.pth"), torch_zip(Pickle().raw("\xFF").stop(), {}));
  expect_refused("opcode.pth");
  const std::string call = Pickle().global("os", "system").raw("(").text("true").raw("tR").stop();
  write_bytes(file("global.pth"), torch_zip(call, {}));
  expect_refused("global.pth", {"os"});
  TensorSpec beyond = plain;
  beyond.strides = {1000, 1};
  write_bytes(file("stride.pth"), torch_zip(pickled_tensors({{"w", beyond}}), storages));
  expect_refused("stride.pth", {"stride (1000, 1)"});
  std::string nested;
  for (int depth = 0; depth < 10'000; ++depth) nested += "]";
  nested += std::string(9'999, 'a');
  write_bytes(file("nested.pth"), torch_zip(Pickle().raw(nested).stop(), {}));
  expect_refused("nested.pth");
  write_bytes(file("legacy.pth"),
              torch_legacy(pickled_tensors({{"w", plain}}, true), storages).substr(0, 120));
  expect_refused("legacy.pth");
}

TEST_F(CliBadModel, AZipBombIsRefusedBeforeItIsUnpacked) {
  ZipMember bomb{"archive/data/0", std::string(2000, '\0'), 8, std::int64_t{4} << 30};
  const TensorSpec huge = {"FloatStorage", "0", 1 << 30, 0, {1 << 30}, {1}};
  write_bytes(file("bomb.pth"),
              zip_archive({{"archive/data.pkl", pickled_tensors({{"w", huge}})}, bomb}));
  expect_refused("bomb.pth");
}

TEST_F(CliBadModel, WhatIsNoModelAtAll) {
  expect_refused("absent.safetensors");
  write_bytes(file("picture.safetensors"), encode(".png", gradient_image(20, 20)));
  expect_refused("picture.safetensors");
  std::filesystem::create_directory(file("folder.safetensors"));
  expect_refused("folder.safetensors");
}

}  // namespace
}  // namespace vitsnna::test
