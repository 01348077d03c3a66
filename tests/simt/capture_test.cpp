// What a GPU refuses is refused on the host: in a graph that is being captured, and in a launch.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "tests/support/expect_error.h"

namespace vitsnna::kernels::cuda {
namespace {

class Capture : public testing::Test {
 protected:
  Capture() { backend().open(queue_, 0); }
  ~Capture() override { backend().close(queue_); }
  Queue queue_;
};

TEST_F(Capture, MemoryIsNeitherTakenNorGivenBack) {
  void* const memory = backend().allocate(8);
  void* const pinned = backend().allocate_pinned(8);
  backend().begin_capture(queue_);
  EXPECT_ERROR(backend().allocate(8), "memory was allocated", "captured");
  EXPECT_ERROR(backend().end_capture(queue_), "ending a graph", "memory was allocated");
  backend().begin_capture(queue_);
  EXPECT_ERROR(backend().allocate_pinned(8), "pinned memory was allocated", "captured");
  EXPECT_ERROR(backend().end_capture(queue_), "ending a graph", "pinned memory was allocated");
  backend().begin_capture(queue_);
  backend().deallocate(memory, 8);
  EXPECT_ERROR(backend().end_capture(queue_), "ending a graph", "memory was freed");
  backend().begin_capture(queue_);
  backend().deallocate_pinned(pinned, 8);
  EXPECT_ERROR(backend().end_capture(queue_), "ending a graph", "pinned memory was freed");
  backend().begin_capture(queue_);
  EXPECT_NE(backend().end_capture(queue_), nullptr) << "an earlier graph's fault is not the next's";
}

TEST_F(Capture, HostMemoryIsPinned) {
  std::vector<char> pageable(8);
  void* const memory = backend().allocate(8);
  void* const pinned = backend().allocate_pinned(8);
  backend().begin_capture(queue_);
  EXPECT_ERROR(backend().copy_to_device(queue_, memory, pageable.data(), 8), "pageable",
               "captured");
  EXPECT_ERROR(backend().copy_to_host(queue_, pageable.data(), memory, 8), "pageable", "captured");
  EXPECT_ERROR(backend().copy_to_device(queue_, memory, pinned, 9), "pageable");
  backend().copy_to_device(queue_, memory, pinned, 8);
  EXPECT_NE(backend().end_capture(queue_), nullptr);
  backend().copy_to_host(queue_, pageable.data(), memory, 8);  // outside it is as it was
  backend().deallocate_pinned(pinned, 8);
  backend().deallocate(memory, 8);
}

__global__ void nothing() {}

TEST_F(Capture, AGridThatNoGpuTakesIsNotCapturedEither) {
  for (const bool captured : {false, true}) {
    if (captured) backend().begin_capture(queue_);
    launch<nothing>("flat", queue_, LaunchShape{dim3(65536, 1, 1), 32, 0});
    const LaunchShape tall{dim3(1, 65536, 1), 32, 0}, deep{dim3(1, 1, 65536), 32, 0};
    EXPECT_ERROR(launch<nothing>("tall", queue_, tall), "tall", "1 x 65536 x 1 blocks", "65535");
    EXPECT_ERROR(launch<nothing>("deep", queue_, deep), "deep", "1 x 1 x 65536 blocks", "65535");
    if (captured) backend().end_capture(queue_);
  }
}

}  // namespace
}  // namespace vitsnna::kernels::cuda
