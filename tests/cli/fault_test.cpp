// A device that is lost or out of memory in mid-run, at any call: one clear line, exit code 1,
// nothing half written, nothing kept, and no hang. VITSNNA_BINARY takes --device VITSNNA_DEVICE,
// which fails as VITSNNA_FAULT says and ends by SIGABRT where memory was not given back.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

// Far above what a run takes: only a hang gets there.
constexpr std::chrono::seconds kHang{120};

class CliFault : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    write_bytes(file("street.png"), encode(".png", gradient_image(16, 24)));
  }
  void TearDown() override {
    unsetenv("VITSNNA_FAULT");
    unsetenv("VITSNNA_FAULT_COUNTS");
  }

  std::vector<std::string> request(const std::vector<std::string>& inputs) const {
    std::vector<std::string> all = explain_arguments(
        {"--device", VITSNNA_DEVICE, "--samples", "2", "--method", "snna", "--quiet"});
    all.insert(all.end(), inputs.begin(), inputs.end());
    return all;
  }

  Outcome run(const std::vector<std::string>& arguments, const std::string& fault) const {
    std::filesystem::remove_all(directory_ / "out");
    setenv("VITSNNA_FAULT", fault.c_str(), 1);
    Running running(arguments);
    const auto deadline = std::chrono::steady_clock::now() + kHang;
    while (!running.ended() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (!running.ended()) {
      ADD_FAILURE() << fault << ": hangs";
      running.send(SIGKILL);
    }
    return running.wait();
  }

  /// Calls of every point in a run that succeeds.
  std::map<std::string, long> calls_of(const std::vector<std::string>& arguments) const {
    setenv("VITSNNA_FAULT_COUNTS", file("counts").c_str(), 1);
    const Outcome outcome = run(arguments, "none:1");
    unsetenv("VITSNNA_FAULT_COUNTS");
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    std::map<std::string, long> counts;
    std::istringstream lines(read_bytes(file("counts")));
    std::string point;
    long count = 0;
    while (lines >> point >> count) counts[point] = count;
    return counts;
  }

  /// First and last calls, and some between them.
  static std::set<long> chosen(long calls) {
    std::set<long> some;
    for (const long call : {1L, 2L, calls / 4, calls / 2, calls * 3 / 4, calls - 1, calls}) {
      if (call >= 1 && call <= calls) some.insert(call);
    }
    return some;
  }

  void expect_clean_end(const Outcome& outcome, const std::string& fault) const {
    SCOPED_TRACE(fault);
    expect_failure(outcome, 1, {});
    const bool memory = fault.starts_with("memory");
    EXPECT_NE(outcome.err.find(memory ? "bytes wanted" : "the GPU was lost"), std::string::npos)
        << outcome;
  }
};

TEST_F(CliFault, ALostDeviceAtAnyCallLeavesNothing) {
  const auto arguments = request({file("street.png")});
  const auto calls = calls_of(arguments);
  for (const std::string point : {"allocate", "launch", "copy", "synchronize", "memory"}) {
    ASSERT_GE(calls.at(point), 4) << point;
    for (const long call : chosen(calls.at(point))) {
      const std::string fault = point + ":" + std::to_string(call);
      expect_clean_end(run(arguments, fault), fault);
      EXPECT_FALSE(std::filesystem::exists(directory_ / "out")) << fault;
    }
    const Outcome beyond = run(arguments, point + ":" + std::to_string(calls.at(point) + 1));
    EXPECT_EQ(beyond.exit_code, 0) << point << "\n" << beyond;
  }
}

/// What was finished before the failure is whole, and there is no manifest.
TEST_F(CliFault, AFolderKeepsTheInputsThatWereDoneAndNothingOfTheOthers) {
  std::filesystem::create_directory(file("pictures"));
  for (const char* name : {"a.png", "b.png", "c.png", "d.png"}) {
    write_bytes(file(std::string("pictures/") + name), encode(".png", gradient_image(16, 24)));
  }
  const auto arguments = request({file("pictures"), "--label", "left"});
  const auto calls = calls_of(arguments);
  ASSERT_EQ(outputs().size(), 9u);
  for (const std::string point : {"launch", "copy", "synchronize"}) {
    for (const long call : chosen(calls.at(point))) {
      const std::string fault = point + ":" + std::to_string(call);
      expect_clean_end(run(arguments, fault), fault);
      const std::vector<std::string> names = outputs();
      EXPECT_EQ(names.size() % 2, 0u) << fault;
      for (std::size_t k = 0; k < names.size(); ++k) {
        const std::string stem(1, static_cast<char>('a' + k / 2));
        EXPECT_EQ(names[k], stem + ".left.snna" + (k % 2 == 0 ? ".npy" : ".png")) << fault;
      }
    }
  }
}

TEST_F(CliFault, PredictAndAttentionEndTheSameWay) {
  const std::vector<std::vector<std::string>> commands = {
      {"predict", "--json"}, {"attention", "--quiet", "--output", file("out")}};
  for (std::vector<std::string> command : commands) {
    command.insert(command.end(), {"--model", file("model.safetensors"), "--device", VITSNNA_DEVICE,
                                   file("street.png")});
    const auto calls = calls_of(command);
    for (const std::string point : {"allocate", "launch", "copy", "synchronize", "memory"}) {
      for (const long call : {calls.at(point) / 2, calls.at(point)}) {
        const std::string fault = point + ":" + std::to_string(call);
        expect_clean_end(run(command, fault), fault);
        EXPECT_FALSE(std::filesystem::exists(directory_ / "out")) << fault;
      }
    }
  }
}

}  // namespace
}  // namespace vitsnna::test
