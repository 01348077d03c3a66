// Failures from outside: folders that cannot be written, a full disk, an interrupt.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "engine/images/read_image.h"
#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

class CliFailure : public CliTest {
 protected:
  void expect_unwritable(const std::string& folder) const {
    expect_failure(run_binary({"explain", "--model", file("model.safetensors"), "--output", folder,
                               file("street.png")}),
                   1, {folder});
  }
};

TEST_F(CliFailure, OutputFoldersThatCannotBeWritten) {
  write_bytes(file("a_file"), "mine");
  expect_unwritable(file("a_file"));
  expect_unwritable(file("a_file/below"));
  expect_unwritable("/proc/vitsnna");
  expect_unwritable("/proc/self/fd");
  EXPECT_EQ(read_bytes(file("a_file")), "mine");
}

TEST_F(CliFailure, AFullDiskLeavesNothing) {
  // Blocks of 512 bytes: the array fits into one, the overlay does not.
  const Outcome outcome =
      Running(explain_arguments({file("street.png"), "--label", "left"}), room_for(1)).wait();
  expect_nothing_written(outcome, 1, {"street.left.snna.png", "cannot be written"});
  const Outcome converted =
      Running({"convert", file("model.safetensors"), file("new.safetensors")}, room_for(8)).wait();
  expect_failure(converted, 1, {"new.safetensors", "cannot be written"});
  EXPECT_EQ(names_in(directory_.path()),
            (std::vector<std::string>{"model.safetensors", "street.png"}));
}

TEST_F(CliFailure, ADiskThatFillsUpBehindTheMapsLeavesNoneOfThem) {
  // The maps fit, the manifest does not: the run on one input is all or nothing.
  manifest_of({file("street.png"), "--method", "rawatt", "--label", "left", "--size", "8x8"});
  const auto manifest = std::filesystem::file_size(output("manifest.json"));
  const auto picture = std::filesystem::file_size(output("street.left.rawatt.png"));
  ASSERT_LT(picture + 512, manifest);
  std::filesystem::remove_all(directory_ / "out");
  const int blocks = static_cast<int>(manifest / 512);
  const Outcome outcome = Running(explain_arguments({file("street.png"), "--method", "rawatt",
                                                     "--label", "left", "--size", "8x8"}),
                                  room_for(blocks))
                              .wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_NE(outcome.err.find("manifest.json"), std::string::npos) << outcome;
  EXPECT_FALSE(std::filesystem::exists(directory_ / "out")) << outcome;
}

TEST_F(CliFailure, AFailedRunLeavesTheFilesItWasToReplace) {
  manifest_of({file("street.png"), "--label", "left"});
  const std::string before = read_bytes(output("street.left.snna.npy"));
  const Outcome outcome =
      Running(explain_arguments({file("street.png"), "--label", "left", "--force", "--seed", "5"}),
              room_for(1))
          .wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_EQ(read_bytes(output("street.left.snna.npy")), before);
  EXPECT_EQ(outputs().size(), 3u);
}

TEST_F(CliFailure, AnInterruptLeavesNoHalfWrittenFile) {
  save_tensor("batch.npy", 200);
  Running running(explain_arguments(
      {file("batch.npy"), "--label", "all", "--method", "rawatt,attgrad,snna", "--quiet"}));
  // Stopped while temporary files exist, after some inputs are complete.
  bool writing = false;
  while (!writing && !running.ended()) {
    const std::vector<std::string> names = outputs();
    const auto unfinished = std::count_if(names.begin(), names.end(),
                                          [](const auto& name) { return name.ends_with(".tmp"); });
    writing = unfinished > 0 && static_cast<std::ptrdiff_t>(names.size()) - unfinished > 25;
    if (!writing) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  running.send(SIGINT);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.signal, SIGINT) << outcome;
  const std::vector<std::string> names = outputs();
  EXPECT_GT(names.size(), 25u);
  for (const std::string& name : names) {
    EXPECT_FALSE(name.ends_with(".tmp")) << name;
    EXPECT_NE(name, "manifest.json");
    if (name.ends_with(".npy")) {
      EXPECT_EQ(map(name).size(), 36u) << name;
    } else {
      EXPECT_NO_THROW(engine::read_image(output(name))) << name;
    }
  }
}

TEST_F(CliFailure, StandardOutputThatCannotBeWritten) {
  const Outcome outcome = [&] {
    // Through a shell, for its redirection.
    const std::string command = std::string("'") + VITSNNA_BINARY + "' predict --json --model '" +
                                file("model.safetensors") + "' '" + file("street.png") +
                                "' > /dev/full 2> '" + file("err") + "'";
    Outcome result;
    result.exit_code = WEXITSTATUS(std::system(command.c_str()));
    result.err = read_bytes(file("err"));
    return result;
  }();
  expect_failure(outcome, 1, {"standard output"});
}

}  // namespace
}  // namespace vitsnna::test
