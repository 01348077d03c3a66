// Outputs are whole or absent: whatever fails, the target keeps what it had and no temporary stays.
#include "engine/io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "engine/io/npy.h"
#include "engine/io/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_directory.h"

namespace vitsnna::engine {
namespace {

using test::read_bytes;
using test::TempDirectory;
using test::write_bytes;

// Limits the size of files this process writes, for one test.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_ = {};
};

TEST(AtomicFile, TheTargetAppearsOnCommitAlone) {
  const TempDirectory folder;
  {
    AtomicFile file(folder / "out.txt");
    file.write("half ");
    EXPECT_FALSE(std::filesystem::exists(folder / "out.txt"));
    file.write("whole");
    file.commit();
  }
  EXPECT_EQ(read_bytes(folder / "out.txt"), "half whole");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, AFileThatNeedNotOutliveThePowerIsWholeOrAbsentToo) {
  const TempDirectory folder;
  {
    AtomicFile file(folder / "out.txt");
    file.write("half ");
    EXPECT_FALSE(std::filesystem::exists(folder / "out.txt"));
    file.write("whole");
    file.commit(Durability::process);
  }
  EXPECT_EQ(read_bytes(folder / "out.txt"), "half whole");
  EXPECT_EQ(folder.entries(), 1u);
  std::filesystem::create_directory(folder / "sub");
  AtomicFile late(folder / "sub" / "out.txt");
  late.write("x");
  std::filesystem::remove_all(folder / "sub");
  EXPECT_ERROR(late.commit(Durability::process), "out.txt", "cannot be written");
}

TEST(AtomicFile, WithoutCommitNothingIsLeftAndTheOldFileStays) {
  const TempDirectory folder;
  write_bytes(folder / "out.txt", "old");
  {
    AtomicFile file(folder / "out.txt");
    file.write("new");
    EXPECT_EQ(folder.entries(), 2u);
  }
  EXPECT_EQ(read_bytes(folder / "out.txt"), "old");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, AWriteBeyondTheFileSizeLimitIsAnErrorThatLeavesNothing) {
  const TempDirectory folder;
  const FileSizeLimit limit(4096);
  EXPECT_ERROR(write_file(folder / "out.bin", std::string(10'000, 'x')), "out.bin",
               "File too large");
  EXPECT_EQ(folder.entries(), 0u);
  // A second file shows that the signal of the first is not waiting to kill the process.
  EXPECT_ERROR(write_npy(folder / "map.npy", {10'000}, std::vector<float>(10'000)), "map.npy");
  EXPECT_EQ(folder.entries(), 0u);
  write_file(folder / "small", "fits");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, AFailedSafetensorsWriteKeepsTheOldFile) {
  const TempDirectory folder;
  write_bytes(folder / "model.safetensors", "old");
  const std::vector<float> values(10'000, 1.0f);
  const FileSizeLimit limit(20'000);
  EXPECT_ERROR(write_safetensors(folder / "model.safetensors",
                                 {{"w", HostTensor::from_floats({10'000}, values)}}, {}),
               "model.safetensors", "in full");
  EXPECT_EQ(read_bytes(folder / "model.safetensors"), "old");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, AMissingFolderAndAFolderAsTargetAreErrors) {
  const TempDirectory folder;
  EXPECT_ERROR(AtomicFile(folder / "absent" / "out.txt"), "absent/out.txt", "No such file");
  EXPECT_ERROR(AtomicFile(folder.path()), folder.path().string(), "directory");
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(AtomicFile, AFolderWithoutPermissionIsAnError) {
  const TempDirectory folder;
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  ::chmod(folder.path().c_str(), 0500);
  EXPECT_ERROR(AtomicFile(folder / "out.txt"), "out.txt", "Permission denied");
  ::chmod(folder.path().c_str(), 0700);
}

TEST(AtomicFile, AnInterruptLeavesNoTemporary) {
  const TempDirectory folder;
  // In a child, as a real SIGINT: its handler removes what is pending and ends the process.
  EXPECT_EXIT(
      {
        std::signal(SIGINT, [](int) {
          AtomicFile::remove_pending();
          ::_exit(130);
        });
        AtomicFile first(folder / "a.npy");
        AtomicFile second(folder / "b.npy");
        first.write("half");
        second.write("half");
        if (folder.entries() != 2) ::_exit(1);
        std::raise(SIGINT);
      },
      testing::ExitedWithCode(130), "");
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(AtomicFile, CommitAfterRemovalIsAnError) {
  const TempDirectory folder;
  AtomicFile file(folder / "out.txt");
  file.write("half");
  AtomicFile::remove_pending();
  EXPECT_EQ(folder.entries(), 0u);
  EXPECT_ERROR(file.commit(), "out.txt");
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(AtomicFile, ALongNameIsWrittenToo) {
  const TempDirectory folder;
  const std::string name(255, 'n');
  write_file(folder / name, "x");
  EXPECT_EQ(read_bytes(folder / name), "x");
}

TEST(AtomicFile, NewFilesHaveTheUsualPermissions) {
  const TempDirectory folder;
  const mode_t mask = ::umask(022);
  write_file(folder / "out.txt", "x");
  ::umask(mask);
  struct stat status = {};
  ASSERT_EQ(::stat((folder / "out.txt").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0644u);
}

}  // namespace
}  // namespace vitsnna::engine
