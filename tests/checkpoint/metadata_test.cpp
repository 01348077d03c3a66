// Metadata: each value is read as SPEC section 7 has it, and a malformed one is named.
#include <gtest/gtest.h>

#include "model/checkpoint_metadata.h"
#include "tests/support/expect_error.h"

namespace vitsnna::model {
namespace {

ModelMetadata parse(const StringMap& text, index_t classes = 4) {
  return parse_metadata("m.safetensors", text, classes);
}

TEST(Metadata, TheDefaultsAreImageNetsAndDependOnTheClasses) {
  const ModelMetadata four = parse({});
  EXPECT_EQ(four.mean, (std::array<float, 3>{0.485f, 0.456f, 0.406f}));
  EXPECT_EQ(four.deviation, (std::array<float, 3>{0.229f, 0.224f, 0.225f}));
  EXPECT_EQ(four.labels, (std::vector<std::string>{"forward", "stop_slow", "left", "right"}));
  EXPECT_EQ(four.activation, Activation::sigmoid);
  EXPECT_TRUE(four.thresholds.empty());
  EXPECT_FALSE(four.input_size);
  EXPECT_FALSE(four.crop_pct);
  const ModelMetadata thousand = parse({}, 1000);
  EXPECT_TRUE(thousand.labels.empty());
  EXPECT_EQ(thousand.activation, Activation::softmax);
}

TEST(Metadata, EveryKeyIsRead) {
  const ModelMetadata found = parse({{"mean", "0.5"},
                                     {"std", "0.1, 0.2,0.3"},
                                     {"input_size", "360x640"},
                                     {"crop_pct", "0.9"},
                                     {"labels", "go,stop,l,r"},
                                     {"activation", "softmax"},
                                     {"thresholds", "0.5,0.4,0.3,1"},
                                     {"source", "somewhere"}});
  EXPECT_EQ(found.mean, (std::array<float, 3>{0.5f, 0.5f, 0.5f}));
  EXPECT_EQ(found.deviation, (std::array<float, 3>{0.1f, 0.2f, 0.3f}));
  EXPECT_EQ(found.input_size, std::pair(index_t{360}, index_t{640}));
  EXPECT_EQ(found.crop_pct, 0.9);
  EXPECT_EQ(found.labels, (std::vector<std::string>{"go", "stop", "l", "r"}));
  EXPECT_EQ(found.activation, Activation::softmax);
  EXPECT_EQ(found.thresholds, (std::vector<float>{0.5f, 0.4f, 0.3f, 1.0f}));
  EXPECT_EQ(parse_heads("m", {{"heads", "6"}}), 6);
  EXPECT_EQ(parse_heads("m", {}), std::nullopt);
  EXPECT_EQ(parse({{"thresholds", "0.4"}}).thresholds, std::vector<float>(4, 0.4f));
}

TEST(Metadata, LabelsMayBeJsonOrLinesSoThatNamesMayHoldCommas) {
  const std::vector<std::string> wanted = {"tench, Tinca tinca", "zebra"};
  EXPECT_EQ(parse({{"labels", R"(["tench, Tinca tinca","zebra"])"}}, 2).labels, wanted);
  EXPECT_EQ(parse({{"labels", "tench, Tinca tinca\nzebra\n"}}, 2).labels, wanted);
}

TEST(Metadata, AMalformedValueIsNamedWithItsKey) {
  const std::pair<const char*, const char*> bad[] = {
      {"mean", ""},           {"mean", "a"},
      {"mean", "0.5,0.5"},    {"mean", "1,2,3,4"},
      {"mean", "nan"},        {"mean", "0.5,"},
      {"mean", "1e999"},      {"std", "0"},
      {"std", "-1"},          {"std", "0.5 0.5 0.5"},
      {"input_size", "224"},  {"input_size", "0x224"},
      {"input_size", "1x"},   {"input_size", "1x2x3"},
      {"input_size", "-1x5"}, {"input_size", "99999999999999999999x1"},
      {"crop_pct", "0"},      {"crop_pct", "1.1"},
      {"crop_pct", "x"},      {"activation", "relu"},
      {"labels", "a,b,c"},    {"labels", "a,b,c,"},
      {"labels", "[\"a\""},   {"labels", "[1,2,3,4]"},
      {"thresholds", "2"},    {"thresholds", "0.1,0.2"},
      {"thresholds", "x"}};
  for (const auto& [key, text] : bad) {
    SCOPED_TRACE(text);
    EXPECT_ERROR(parse({{key, text}}), "m.safetensors", std::string("'") + key + "'", "wanted");
  }
  for (const char* text : {"", "0", "-3", "2.5", "x", "99999999999999999999"}) {
    EXPECT_ERROR(parse_heads("m.safetensors", {{"heads", text}}), "'heads'", "wanted");
  }
  EXPECT_ERROR(parse({{"labels", std::string(100'000, '[')}}), "'labels'");
}

TEST(Metadata, WhatIsWrittenIsReadBack) {
  VitConfig config;
  config.num_heads = 6;
  config.trained_grid_height = 9;
  config.trained_grid_width = 16;
  config.num_classes = 3;
  ModelMetadata before;
  before.mean = {0.1f, 0.2f, 0.3f};
  before.deviation = {1.0f / 3.0f, 0.5f, 0.7f};
  before.input_size = std::pair(index_t{360}, index_t{640});
  before.crop_pct = 0.9;
  before.labels = {"a,b", "c\"d", "gr\xc3\xbc\xc3\x9f"};
  before.activation = Activation::sigmoid;
  before.thresholds = {0.1f, 0.5f, 1.0f / 3.0f};
  const StringMap text = metadata_text(config, before);
  const ModelMetadata after = parse(text, 3);
  EXPECT_EQ(after.mean, before.mean);
  EXPECT_EQ(after.deviation, before.deviation);
  EXPECT_EQ(after.input_size, before.input_size);
  EXPECT_EQ(after.crop_pct, before.crop_pct);
  EXPECT_EQ(after.labels, before.labels);
  EXPECT_EQ(after.activation, before.activation);
  EXPECT_EQ(after.thresholds, before.thresholds);
  EXPECT_EQ(parse_heads("m", text), 6);
  EXPECT_EQ(parse_trained_grid("m", text), std::pair(index_t{9}, index_t{16}));
}

}  // namespace
}  // namespace vitsnna::model
