// Bad inputs: each ends in exit code 1 and one line that names it, with nothing written.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

class CliBadInput : public CliTest {
 protected:
  /// The good picture comes first: a bad one behind it must stop the run before anything is
  /// written.
  void expect_refused(const std::string& name, const std::vector<std::string>& texts = {}) const {
    std::vector<std::string> named = {name};
    named.insert(named.end(), texts.begin(), texts.end());
    expect_nothing_written(explain({file("street.png"), file(name)}), 1, named);
  }
};

TEST_F(CliBadInput, PredictRefusesThemToo) {
  expect_failure(run_binary({"predict", "--model", file("model.safetensors"), "--json",
                             file("street.png"), file("absent.jpg")}),
                 1, {"absent.jpg"});
}

TEST_F(CliBadInput, PicturesThatAreNone) {
  const std::string png = encode(".png", gradient_image(60, 70));
  const std::string jpeg = encode(".jpg", gradient_image(60, 70));
  write_bytes(file("empty.jpg"), "");
  write_bytes(file("text.jpg"), "this is not a picture\n");
  write_bytes(file("cut.png"), png.substr(0, png.size() / 2));
  write_bytes(file("cut.jpg"), jpeg.substr(0, jpeg.size() / 2));
  write_bytes(file("huge.png"), png_claiming(png, 40'000, 40'000));
  write_bytes(file("huge.jpg"), jpeg_claiming(jpeg, 40'000, 40'000));
  for (const char* name :
       {"absent.jpg", "empty.jpg", "text.jpg", "cut.png", "cut.jpg", "huge.png", "huge.jpg"}) {
    expect_refused(name);
  }
}

TEST_F(CliBadInput, TensorsOfAnotherTypeRankOrChannelsOrWithANan) {
  const std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1, 1), }";
  std::string doubles("\x93NUMPY\x01\x00", 8);
  doubles += std::string(1, static_cast<char>(118)) + std::string(1, '\0') + header +
             std::string(117 - header.size(), ' ') + "\n" + std::string(24, '\0');
  write_bytes(file("doubles.npy"), doubles);
  expect_refused("doubles.npy", {"float64", "float32"});
  engine::write_npy(file("flat.npy"), {48, 48}, std::vector<float>(48 * 48));
  expect_refused("flat.npy", {"(48, 48)"});
  engine::write_npy(file("grey.npy"), {1, 48, 48}, std::vector<float>(48 * 48));
  expect_refused("grey.npy", {"3"});
  engine::write_npy(file("tiny.npy"), {3, 4, 4}, std::vector<float>(48));
  expect_refused("tiny.npy", {"4x4"});
  engine::write_npy(file("none.npy"), {0, 3, 48, 48}, std::vector<float>());
  expect_refused("none.npy", {"(0, 3, 48, 48)"});
  std::vector<float> pixels = random_image(48, 48, 5);
  pixels[1234] = std::nanf("");
  engine::write_npy(file("nan.npy"), {3, 48, 48}, pixels);
  expect_refused("nan.npy", {"[0, 25, 34]", "nan"});  // 1234 = 25 * 48 + 34
  pixels[1234] = std::numeric_limits<float>::infinity();
  engine::write_npy(file("infinite.npy"), {3, 48, 48}, pixels);
  expect_refused("infinite.npy", {});
  write_bytes(file("cut.npy"), read_bytes(file("infinite.npy")).substr(0, 5000));
  expect_refused("cut.npy", {});
  write_bytes(file("text.npy"), "no numbers");
  expect_refused("text.npy", {});
}

TEST_F(CliBadInput, LabelsThatDoNotExistAreAnsweredWithThoseThatDo) {
  expect_nothing_written(explain({file("street.png"), "--label", "lefft"}), 1,
                         {"lefft", "forward", "stop_slow", "left", "right"});
  expect_nothing_written(explain({file("street.png"), "--label", "4"}), 1, {"'4'"});
  expect_nothing_written(explain({file("street.png"), "--label", "left,"}), 1, {"''"});
  model::VitConfig config = small_config();
  config.num_classes = 30;
  model::ModelMetadata metadata;
  for (int i = 0; i < 30; ++i) metadata.labels.push_back("species " + std::to_string(i));
  metadata.labels[17] = "African elephant";
  save_small_model(file("model.safetensors"), config, metadata);
  expect_nothing_written(explain({file("street.png"), "--label", "elephant"}), 1,
                         {"'elephant'", "African elephant (17)", "30 classes"});
  expect_nothing_written(explain({file("street.png"), "--label", "afrcan elefant"}), 1,
                         {"African elephant (17)"});
}

TEST_F(CliBadInput, NoiseAndBaselineMustBeOfTheInputsSize) {
  save_tensor("x.npy");
  engine::write_npy(file("other.npy"), {1, 3, 40, 48}, random_image(40, 48, 3));
  engine::write_npy(file("base.npy"), {3, 40, 48}, random_image(40, 48, 3));
  expect_nothing_written(explain({file("x.npy"), "--noise", file("other.npy")}), 1,
                         {"other.npy", "40x48", "48x48"});
  expect_nothing_written(explain({file("x.npy"), "--noise", file("base.npy")}), 1,
                         {"base.npy", "(3, 40, 48)"});
  expect_nothing_written(explain({file("x.npy"), "--method", "ig", "--baseline", file("base.npy")}),
                         1, {"base.npy", "40x48", "48x48"});
  expect_nothing_written(explain({file("x.npy"), "--baseline", file("absent.npy")}), 1,
                         {"absent.npy"});
}

TEST_F(CliBadInput, CropsLargerThanThePicture) {
  expect_nothing_written(explain({file("street.png"), "--size", "48x48", "--crop", "64"}), 1,
                         {"street.png", "64x64", "48x48"});
}

}  // namespace
}  // namespace vitsnna::test
