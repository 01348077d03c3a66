// Ranks exchange what they should, and a rank that fails in any way ends the job. A test that hangs
// fails by ctest's own limit.
#include <gtest/gtest.h>

#include "tests/parallel/launch.h"

namespace vitsnna::test {
namespace {

Outcome ranks(int count, const std::string& mode) { return launch(count, VITSNNA_RANKS, {mode}); }

void expect_done(const Outcome& outcome, int count) {
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outcome.out,
            std::to_string(count) + " ranks over " + (count > 1 ? "MPI" : "none") + "\n")
      << outcome;
}

/// Ended with a failure and, unless empty, this text.
void expect_ended(const Outcome& outcome, const std::string& text) {
  EXPECT_NE(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outcome.out, "") << outcome;
  EXPECT_NE(outcome.err.find(text), std::string::npos) << "wanted: " << text << "\n" << outcome;
}

TEST(Ranks, SumsHaveTheBitsOfAFixedOrder) {
  VITSNNA_SKIP_WITHOUT_MPI();
  for (const int count : {2, 3, 4}) expect_done(ranks(count, "sums"), count);
}

TEST(Ranks, RecordsReachEveryRank) {
  VITSNNA_SKIP_WITHOUT_MPI();
  for (const char* mode : {"records", "pieces"}) {
    for (const int count : {2, 4}) expect_done(ranks(count, mode), count);
  }
}

TEST(Ranks, OneIsASingleProcess) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_done(ranks(1, "sums"), 1);
  expect_done(ranks(1, "records"), 1);
}

TEST(Ranks, ASignalToOneStopsAllAtTheSameStep) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_done(ranks(4, "stop"), 4);
}

TEST(Ranks, AnErrorOfOneEndsTheJobWithItsRankAndReason) {
  VITSNNA_SKIP_WITHOUT_MPI();
  const Outcome outcome = ranks(4, "error");
  expect_ended(outcome, "rank 2 of 4 on ");
  expect_ended(outcome, ": frames/17.png: not there\n");
}

TEST(Ranks, AnExceptionThatLeavesTheScopeEndsTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_ended(ranks(4, "thrown"), "rank 2 of 4 on ");
}

TEST(Ranks, OneThatIsKilledEndsTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_ended(ranks(4, "killed"), "");
}

TEST(Ranks, OneThatLeavesEarlyEndsTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_ended(ranks(4, "left"), "");
}

TEST(Ranks, OneThatIsStoppedEndsTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  const Outcome outcome = ranks(4, "stopped");
  expect_ended(outcome, "rank 2 of 4 on ");
  expect_ended(outcome, "no sign of life for 2 s (noticed by rank 3)");
}

TEST(Ranks, OneThatStallsEndsTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  const Outcome outcome = ranks(4, "stalled");
  expect_ended(outcome, "rank 2 of 4 on ");
  expect_ended(outcome, "(noticed by rank 3)");
}

TEST(Ranks, AnExchangeThatNeverEndsEndsTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_ended(ranks(4, "stuck"), " of 4 on ");
  expect_ended(ranks(4, "stuck"), "in one exchange between ranks for 2 s");
}

TEST(Ranks, ASumOnADeviceThatNeverEndsEndsTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_ended(ranks(4, "hangs"), "waiting for its device for 2 s");
}

TEST(Ranks, AJobThatIsSuspendedGoesOn) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_done(ranks(4, "suspended"), 4);
}

TEST(Ranks, WeightsThatDriftApartEndTheJob) {
  VITSNNA_SKIP_WITHOUT_MPI();
  expect_ended(ranks(4, "drifted"),
               "digest of the weights: rank 2 has 0badf00d, rank 0 has 600df00d");
}

}  // namespace
}  // namespace vitsnna::test
