// Writes the fuzz targets' seed files: fuzz_seeds FOLDER makes FOLDER/{safetensors,npy,pth}.
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "engine/io/npy.h"
#include "engine/io/safetensors.h"
#include "tests/support/pickle_writer.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::test {
namespace {

void write_seeds(const std::filesystem::path& folder) {
  for (const char* name : {"safetensors", "npy", "pth"}) {
    std::filesystem::create_directories(folder / name);
  }
  const std::array<float, 6> values = {0, 1, -2, 3.5f, 1e-8f, 1e8f};
  const auto tensor = engine::HostTensor::from_floats({2, 3}, values);
  auto half = tensor;
  half.type = engine::ElementType::f16;
  half.shape = {12};
  engine::write_safetensors(folder / "safetensors/two", {{"a", tensor}, {"b.c", half}},
                            {{"mean", "0.5"}, {"format", "pt"}});
  engine::write_safetensors(folder / "safetensors/none", {}, {});

  engine::write_npy(folder / "npy/matrix", {2, 3}, values);
  engine::write_npy(folder / "npy/vector", {6}, values);
  engine::write_npy(folder / "npy/scalar", {}, std::span(values).first(1));

  const Storages storages = {{"0", float_bytes(values)}};
  const TensorSpec plain = {"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}};
  const TensorSpec transposed = {"FloatStorage", "0", 6, 0, {3, 2}, {1, 3}};
  for (const bool legacy : {false, true}) {
    const std::string name = legacy ? "legacy" : "zip";
    const std::string two = pickled_tensors({{"a", plain}, {"b.c", transposed}}, legacy);
    Pickle full;
    full.raw("}(").text("teacher").raw("}(").text("norm.weight").tensor(plain, legacy).raw("u");
    full.text("args").global("argparse", "Namespace").raw(")\x81}").text("lr");
    full.global("numpy.core.multiarray", "scalar").global("numpy", "dtype").raw("(").text("f8");
    full.raw("\x89\x88tR(").integer(3).text("<").raw("NNNtb");
    full.global("_codecs", "encode").text("12345678").text("latin1").raw("\x86R\x86Rsb");
    full.text("epoch").raw("K\x07").text("betas").raw("G?\xf0").raw(std::string(6, '\0'));
    full.raw("N\x86").text("list").raw("](K\x01K\x02\x65u");
    for (const auto& [suffix, pickle] : {std::pair("two", two), std::pair("full", full.stop())}) {
      write_bytes(folder / "pth" / (name + suffix),
                  legacy ? torch_legacy(pickle, storages) : torch_zip(pickle, storages));
    }
  }
}

}  // namespace
}  // namespace vitsnna::test

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
    return 2;
  }
  try {
    vitsnna::test::write_seeds(arguments[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
