// `--device`: what the default takes and says where it had to do without a GPU, and devices that
// cannot be had.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "tests/cli/cli_fixture.h"

namespace vitsnna::test {
namespace {

/// An environment variable for a scope, handed to every binary that is run in it.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

class CliDevice : public CliTest {
 protected:
  /// `predict`, with no device of the fixture's.
  Outcome predict(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"predict", "--model", file("model.safetensors"),
                                    file("street.png")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_binary_as_it_is(all);
  }
};

constexpr bool kCudaBuild = VITSNNA_TEST_CUDA;

TEST_F(CliDevice, AutoFallsBackToTheCpuAndSaysSoInOneLine) {
  const Variable hidden("CUDA_VISIBLE_DEVICES", "");
  for (const std::vector<std::string>& device :
       {std::vector<std::string>{}, std::vector<std::string>{"--device", "auto"}}) {
    const Outcome outcome = predict(device);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_NE(outcome.out, "");
    if (kCudaBuild) {
      EXPECT_EQ(outcome.err.find("vitsnna: computing on the CPU: no GPU: "), 0u) << outcome;
      EXPECT_EQ(outcome.error_lines(), 1u) << outcome;
    } else {
      EXPECT_EQ(outcome.err, "");
    }
    for (const char* silent : {"--quiet", "--json"}) {
      std::vector<std::string> all = device;
      all.emplace_back(silent);
      EXPECT_EQ(predict(all).err, "") << silent;
    }
  }
  EXPECT_EQ(predict({"--device", "cpu"}).err, "");
}

TEST_F(CliDevice, TheManifestHoldsTheReason) {
  const Variable hidden("CUDA_VISIBLE_DEVICES", "");
  const nlohmann::json device =
      manifest_of({file("street.png"), "--label", "left", "--device", "auto"})["device"];
  EXPECT_EQ(device["name"], "cpu");
  const std::string reason = device["reason"];
  EXPECT_EQ(reason.find(kCudaBuild ? "no GPU: " : "this build has no CUDA backend"), 0u) << reason;
}

TEST_F(CliDevice, AGpuThatIsNotThereIsOneLineAndNothingWritten) {
  const Variable hidden("CUDA_VISIBLE_DEVICES", "");
  for (const std::string device : {"cuda", "cuda:0", "cuda:7"}) {
    expect_nothing_written(explain({file("street.png"), "--device", device}), 1,
                           {"device " + device, kCudaBuild ? "no GPU" : "no CUDA backend"});
  }
}

TEST_F(CliDevice, ADriverThatIsTooOldIsNamed) {
  if (!kCudaBuild) GTEST_SKIP() << "this build asks no driver";
  const Variable old("LD_LIBRARY_PATH", VITSNNA_OLD_DRIVER);
  expect_nothing_written(explain({file("street.png"), "--device", "cuda"}), 1,
                         {"device cuda", "driver is older"});
  const Outcome fallen = predict({});
  EXPECT_EQ(fallen.exit_code, 0) << fallen;
  EXPECT_NE(fallen.err.find("driver is older"), std::string::npos) << fallen;
  EXPECT_EQ(fallen.error_lines(), 1u) << fallen;
}

}  // namespace
}  // namespace vitsnna::test
