// Readers of data sets, on folders that the tests make.
#include "train/data/sources/sources.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/expect_error.h"
#include "tests/support/shared_path.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::train {
namespace {

class Sources : public testing::Test {
 protected:
  std::string put(const std::string& name, const std::string& content = "not looked at") {
    const auto path = directory_ / name;
    std::filesystem::create_directories(path.parent_path());
    test::write_bytes(path, content);
    return path.string();
  }
  std::string root() const { return directory_.path().string(); }
  static std::vector<std::string> ids(const Dataset& dataset) {
    std::vector<std::string> names;
    for (const Sample& sample : dataset.samples) names.push_back(sample.id);
    return names;
  }
  test::TempDirectory directory_;
};
using Names = std::vector<std::string>;
using Labels = std::vector<float>;

TEST_F(Sources, AFolderGivesEveryImageBelowItInOrder) {
  put("b/2.jpg");
  put("b/1.JPEG");
  put("a.png");
  put("c/d/e.webp");
  put("notes.txt");
  put(".hidden/x.jpg");
  put("b/.x.jpg");
  const Dataset dataset = open_dataset(root());
  EXPECT_EQ(dataset.kind, "folder");
  EXPECT_EQ(ids(dataset), (Names{"a.png", "b/1.JPEG", "b/2.jpg", "c/d/e.webp"}));
  EXPECT_TRUE(dataset.label_names.empty());
  EXPECT_ERROR(open_dataset(root(), "train"), "split 'train'", "folder");
  EXPECT_ERROR(open_dataset((directory_ / "none").string()), "none", "no such");
}

TEST_F(Sources, AFolderWithoutImagesIsAnError) {
  put("readme.txt");
  EXPECT_ERROR(open_dataset(root()), root(), "no images");
}

TEST_F(Sources, EqualNamesInTwoFoldersAreTwoImages) {
  put("a/1.jpg");
  put("b/1.jpg");
  EXPECT_EQ(ids(open_dataset(root())), (Names{"a/1.jpg", "b/1.jpg"}));
}

TEST_F(Sources, LinkedFoldersAreReadOnce) {
  put("a/1.jpg");
  put("z/2.jpg");
  const test::TempDirectory outside;
  std::filesystem::create_directories(outside / "deep");
  test::write_bytes(outside / "deep" / "3.jpg", "x");
  const auto link = [&](const std::filesystem::path& to, const char* name) {
    std::filesystem::create_directory_symlink(to, directory_ / name);
  };
  link(".", "a_loop");         // to the set itself
  link("..", "a/up");          // and from within it
  link("z", "first");          // to a folder that comes later and has a path of its own
  link(outside.path(), "l2");  // twice out of the set: the first name stays
  link(outside.path(), "l1");
  link(directory_.path(), "a/back");
  std::filesystem::create_directory_symlink(directory_.path(), outside / "home");
  const Dataset dataset = open_dataset(root());
  EXPECT_EQ(ids(dataset), (Names{"a/1.jpg", "l1/deep/3.jpg", "z/2.jpg"}));
  ASSERT_EQ(dataset.notes.size(), 1u);
  EXPECT_EQ(dataset.notes[0].find("6 folders"), 0u) << dataset.notes[0];
}

/// Two folders that hold links to each other: without a memory 2^40 paths.
TEST_F(Sources, CrossingLinksDoNotMultiply) {
  for (const char* here : {"p", "q"}) {
    put(std::string(here) + "/x.jpg");
    for (const char* name : {"1", "2"}) {
      std::filesystem::create_directory_symlink(directory_ / (std::string(here) == "p" ? "q" : "p"),
                                                directory_ / here / name);
    }
  }
  EXPECT_EQ(ids(open_dataset(root())), (Names{"p/x.jpg", "q/x.jpg"}));
}

TEST_F(Sources, LinksThatLeadNowhereAreCountedNotRead) {
  put("a.jpg");
  std::filesystem::create_symlink("gone.jpg", directory_ / "c.jpg");
  std::filesystem::create_symlink("b.jpg", directory_ / "b.jpg");  // to itself
  std::filesystem::create_symlink("a.jpg", directory_ / "d.jpg");
  const Dataset dataset = open_dataset(root());
  EXPECT_EQ(ids(dataset), (Names{"a.jpg", "d.jpg"}));
  ASSERT_EQ(dataset.notes.size(), 1u);
  EXPECT_NE(dataset.notes[0].find("2 links lead nowhere"), std::string::npos) << dataset.notes[0];
  EXPECT_NE(dataset.notes[0].find("b.jpg"), std::string::npos) << dataset.notes[0];
}

TEST_F(Sources, AFolderThatMayNotBeReadIsNamed) {
  put("a.jpg");
  put("locked/b.jpg");
  const auto locked = directory_ / "locked";
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(locked, std::filesystem::perms::none);
  // Root may read everything: for the time of the test it is another user.
  const bool root_user = geteuid() == 0;
  if (root_user) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  EXPECT_ERROR(open_dataset(root()), locked.string() + ": ", "ermission");
  if (root_user) {
    ASSERT_EQ(seteuid(0), 0);
  }
  std::filesystem::permissions(locked, std::filesystem::perms::owner_all);
}

TEST_F(Sources, Bdd100kHasSplitsWithoutLabels) {
  put("images/100k/train/b.jpg");
  put("images/100k/train/a.jpg");
  put("images/100k/val/c.jpg");
  EXPECT_EQ(splits_of(root()), (Names{"train", "val"}));
  const Dataset train = open_dataset(root(), "train");
  EXPECT_EQ(train.kind, "bdd100k");
  EXPECT_EQ(ids(train), (Names{"a.jpg", "b.jpg"}));
  EXPECT_EQ(open_dataset(root()).size(), 3);
  EXPECT_EQ(open_dataset("folder:" + root()).kind, "folder");
  EXPECT_ERROR(open_dataset(root(), "test"), "'test'", "there: train, val");
}

constexpr const char* kOia = "train_25k_images_actions.json";

TEST_F(Sources, BddOiaIsMatchedByIdAndLosesWhatConfuses) {
  for (const char* name : {"x.jpg", "y.jpg", "z.jpg"}) put(std::string("data/") + name);
  put(kOia, R"({"images":[{"file_name":"x.jpg","id":5},{"file_name":"y.jpg","id":7},)"
            R"({"file_name":"z.jpg","id":1}],"annotations":[{"id":1,"category":[0,0,0,1]},)"
            R"({"id":7,"category":[1,1,1,1,1]},{"id":5,"category":[1,0,1,0,0]}]})");
  const Dataset dataset = open_dataset(root(), "train");
  EXPECT_EQ(dataset.kind, "bdd-oia");
  EXPECT_EQ(ids(dataset), (Names{"x.jpg", "z.jpg"}));
  EXPECT_EQ(dataset.labels, (Labels{1, 0, 1, 0, 0, 0, 0, 1}));
  EXPECT_EQ(dataset.label_names, action_names());
  ASSERT_EQ(dataset.notes.size(), 1u);
  EXPECT_NE(dataset.notes[0].find("1 images"), std::string::npos);
}

TEST_F(Sources, BddOiaFaultsAreNamed) {
  put("data/x.jpg");
  const auto refused = [&](const std::string& images, const std::string& annotations,
                           const std::string& text) {
    put(kOia, R"({"images":[)" + images + R"(],"annotations":[)" + annotations + "]}");
    EXPECT_ERROR(open_dataset(root(), "train"), kOia, text);
  };
  const std::string image = R"({"file_name":"x.jpg","id":5})";
  const std::string good = R"({"id":5,"category":[1,0,1,0]})";
  refused(image, "", "no annotation");
  refused(image, good + "," + good, "twice");
  refused(image + "," + image, good, "twice");
  refused(image, good + R"(,{"id":6,"category":[1,0,1,0]})", "id 6");
  refused(image, R"({"id":5,"category":[1,0,1]})", "4 or 5");
  refused(image, R"({"id":5,"category":[1,0,2,0]})", "0 or 1");
  refused(image, R"({"id":"5","category":[1,0,1,0]})", "whole number");
  refused(image, R"({"id":5,"category":[1,0,1,0,"yes"]})", "\"yes\"");
  refused(image, R"({"id":5,"category":[1,0,1,0,null]})", "null");
  refused(image, R"({"id":5,"category":[1,0,1,0],"id":6})", "\"id\" is there twice");
  refused(R"({"file_name":"gone.jpg","id":5})", good, "gone.jpg");
  put(kOia, "{\"images\": [");
  EXPECT_ERROR(open_dataset(root(), "train"), kOia, "not JSON");
  put(kOia, "[]");
  EXPECT_ERROR(open_dataset(root(), "train"), kOia, "annotations");
}

TEST_F(Sources, BddOiaSaysWhereAFileStandsUnderTwoIds) {
  put("data/x.jpg");
  put(kOia, R"({"images":[{"file_name":"x.jpg","id":5},{"file_name":"x.jpg","id":7}],)"
            R"("annotations":[{"id":5,"category":[1,0,0,0]},{"id":7,"category":[0,1,0,0]}]})");
  const Dataset dataset = open_dataset(root(), "train");
  EXPECT_EQ(dataset.size(), 2);
  ASSERT_EQ(dataset.notes.size(), 1u);
  EXPECT_NE(dataset.notes[0].find("1 images stand under a second id"), std::string::npos);
}

/// What a million brackets are nested in, wherever a value may stand.
TEST_F(Sources, JsonNestedWithoutEndIsRefused) {
  const std::string deep(1'000'000, '[');
  const std::string objects = [] {
    std::string text;
    for (int k = 0; k < 200'000; ++k) text += "{\"a\":";
    return text;
  }();
  put("data/x.jpg");
  for (const std::string& bad : {deep, objects, deep + std::string(deep.size(), ']')}) {
    for (const char* start :
         {"", R"({"images":[],"annotations":)", R"({"images":[],"annotations":[{"id":)",
          R"({"images":[],"annotations":[{"id":5,"category":[1,0,1,)"}) {
      put(kOia, start + bad);
      EXPECT_ERROR(open_dataset(root(), "train"), kOia, "16 deep");
    }
  }
  put("val/a.jpg");
  put("val.json", R"({"a.jpg":)" + deep + std::string(deep.size(), ']') + "}");
  EXPECT_ERROR(open_dataset("snna:" + root(), "val"), "val.json", "16 deep");
}

TEST_F(Sources, WhatJsonHoldsStaysOneLineInAMessage) {
  put("val/a.jpg");
  put("val.json", R"({"a\nb\u0007.jpg":[0,1,0,0]})");
  EXPECT_ERROR(open_dataset(root(), "val"), "val.json", "a\\x0ab\\x07.jpg");
  put("val.json", "{\"a.jpg\":[0,1,0,\"\xff\"]}");
  EXPECT_ERROR(open_dataset(root(), "val"), "val.json", "not JSON");
  put("val.json", R"({"a.jpg":[0,1,0,)" + std::string(1000, '7') + "]}");
  EXPECT_ERROR(open_dataset(root(), "val"), "val.json");
}

TEST_F(Sources, TheReleasedCodesLayoutIsADictionaryASplit) {
  for (const char* name : {"a.jpg", "b.jpg", "c.jpg"}) put(std::string("val/") + name);
  put("val.json", R"({"b.jpg":[0,1,0,0],"a.jpg":[1,0,0,1]})");
  const Dataset dataset = open_dataset(root(), "val");
  EXPECT_EQ(dataset.kind, "snna");
  EXPECT_EQ(ids(dataset), (Names{"a.jpg", "b.jpg"}));
  EXPECT_EQ(dataset.labels, (Labels{1, 0, 0, 1, 0, 1, 0, 0}));
  ASSERT_EQ(dataset.notes.size(), 1u);
  put("val.json", R"({"gone.jpg":[0,1,0,0]})");
  EXPECT_ERROR(open_dataset(root(), "val"), "val.json", "gone.jpg");
  put("val.json", R"({"a.jpg":[0,1,0]})");
  EXPECT_ERROR(open_dataset(root(), "val"), "val.json", "a.jpg", "4 numbers");
  put("val.json", R"({"a.jpg":[0,1,0,0],"b.jpg":[0,1,0,0],"a.jpg":[1,0,0,0]})");
  EXPECT_ERROR(open_dataset(root(), "val"), "val.json", "\"a.jpg\" is there twice");
}

TEST_F(Sources, ATableNamesItsLabels) {
  put("a, b.jpg");
  const std::string other = put("c.jpg");
  const std::string table = put(
      "set.csv", "path,left,\"wide \"\"x\"\"\"\r\n\"a, b.jpg\",1,0.25\r\n\n" + other + ",0,1e-3\n");
  const Dataset dataset = open_dataset(table);
  EXPECT_EQ(dataset.kind, "csv");
  EXPECT_EQ(dataset.label_names, (Names{"left", "wide \"x\""}));
  EXPECT_EQ(dataset.labels, (Labels{1, .25f, 0, 1e-3f}));
  EXPECT_EQ(dataset.samples[1].path, other);
  std::filesystem::rename(table, directory_ / "SET.CSV");
  EXPECT_EQ(open_dataset((directory_ / "SET.CSV").string()).kind, "csv");
}

TEST_F(Sources, FaultsOfATableNameTheLine) {
  put("a.jpg");
  const auto refused = [&](const std::string& content, const std::string& line,
                           const std::string& text) {
    const std::string table = put("set.csv", content);
    EXPECT_ERROR(open_dataset(table), "set.csv:" + line, text);
  };
  refused("file,left\na.jpg,1\n", "1", "\"path\" wanted");
  refused("path,left,left\na.jpg,1,1\n", "1", "one name");
  refused("path,left\na.jpg,1\na.jpg\n", "3", "1 fields, 2 wanted");
  refused("path,left\na.jpg,yes\n", "2", "\"yes\"");
  for (const char* value : {"nan", "inf", "-1", "5", "1.0001", "-1e-9", "", " 1", "0x1", "1e999"}) {
    refused(std::string("path,left\na.jpg,0\na.jpg,") + value + "\n", "3, left", "from 0 to 1");
  }
  refused("path,left\n\"a.jpg,1\n", "2", "quote is not closed on its line");
  refused("path,left\n\"a\nb.jpg\",1\n", "2", "quote is not closed on its line");
  refused("path,left\n\"a\".jpg,1\n", "2", "closing quote");
  refused("path,,left\na.jpg,1,1\n", "1", "without a name");
  refused("path,left,\na.jpg,1,1\n", "1", "without a name");
  refused("path,left, \na.jpg,1,1\n", "1", "without a name");
  refused("path,\r,left\na.jpg,1,1\n", "1", "without a name");
  refused("path,gauche,t\xEAte\na.jpg,1,1\n", "1", "\"t\\xeate\" is not UTF-8");
  refused("path,left\ngone.jpg,1\n", "2", "gone.jpg");
}

/// Bytes that change, vanish or come twice: a set or an Error, never another end.
TEST_F(Sources, DamageIsAnErrorOrASet) {
  for (const char* name : {"data/x.jpg", "data/y.jpg", "val/x.jpg", "val/y.jpg"}) put(name);
  const std::string oia =
      R"({"images":[{"file_name":"x.jpg","id":5},{"file_name":"y.jpg","id":7}],)"
      R"("annotations":[{"id":7,"category":[1,1,1,1,1]},)"
      R"({"id":5,"category":[1,0,1,0]}]})";
  const std::string snna = R"({"x.jpg":[0,1,0,0],"y.jpg":[1,0,0,1]})";
  const std::string table = "path,left,\"a \"\"b\"\"\"\ndata/x.jpg,1,0.25\n\"data/y.jpg\",0,1e-3\n";
  struct Layout {
    const char *file, *what;
    const std::string& content;
  };
  std::uint32_t state = 7;
  const auto random = [&](std::size_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
  };
  const std::string bytes = "\xff\"\\[]{},:-0159e.nt\n/" + std::string(1, '\0');
  for (const Layout& layout : {Layout{kOia, "bdd-oia:", oia}, Layout{"val.json", "snna:", snna},
                               Layout{"set.csv", "csv:", table}}) {
    const std::string path = layout.file == std::string("set.csv") ? "/set.csv" : "";
    int sets = 0;
    for (int round = 0; round < 150; ++round) {
      std::string content = layout.content;
      for (std::size_t change = 0; change < random(3); ++change) {
        const std::size_t at = random(content.size());
        const std::size_t kind = random(3);
        if (kind == 0) content[at] = bytes[random(bytes.size())];
        if (kind == 1) content.erase(at, 1 + random(4));
        if (kind == 2) content.insert(at, content.substr(random(content.size()), 1 + random(9)));
      }
      put(layout.file, content);
      try {
        const Dataset dataset = open_dataset(layout.what + root() + path);
        EXPECT_EQ(dataset.labels.size(), dataset.samples.size() * dataset.label_names.size());
        ++sets;
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      }
    }
    EXPECT_GT(sets, 0);
    EXPECT_LT(sets, 150);
  }
}

TEST(RealSources, BddDriveIsReadWithItsLabels) {
  VITSNNA_SHARED_OR_SKIP(path, "data/bdd_drive");
  const Dataset train = open_dataset(path.string(), "train");
  const Dataset val = open_dataset(path.string(), "val");
  EXPECT_EQ(train.kind, "bdd-oia");
  EXPECT_EQ(train.size(), 4524 - 670);
  EXPECT_EQ(val.size(), 476 - 64);
  // 000d35d3-41990aa4 in labels.csv: forward 1, slow_stop 0, left 0, right 1.
  for (index_t k = 0; k < train.size(); ++k) {
    if (train.samples[static_cast<std::size_t>(k)].id != "000d35d3-41990aa4.jpg") continue;
    EXPECT_EQ(Labels(train.labels_of(k), train.labels_of(k) + 4), (Labels{1, 0, 0, 1}));
    return;
  }
  ADD_FAILURE() << "000d35d3-41990aa4.jpg is not there";
}

}  // namespace
}  // namespace vitsnna::train
