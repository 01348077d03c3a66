// The SIMT layer itself: a correct kernel passes under every schedule, and each kind of fault is
// found and named.
#include "tests/simt/kernel_runs.h"

namespace vitsnna::kernels::cuda {
namespace {

using simt::Schedule;
using simt_test::expect_error;
using simt_test::run;

constexpr int threads = 128;

// --- a correct kernel ---------------------------------------------------------------------------

__global__ void reverse_and_sum(const float* input, float* reversed, float* sum) {
  SharedMemory memory;
  const Shared<float> values = memory.take<float>(threads);
  const Shared<float> partial = memory.take<float>(threads / kWarpSize);
  const int thread = static_cast<int>(threadIdx.x);
  const int base = static_cast<int>(blockIdx.x) * threads;
  values[thread] = input[base + thread];
  const float in_warp = warp_sum(input[base + thread]);
  if (lane_index() == 0) partial[warp_index()] = in_warp;
  __syncthreads();
  reversed[base + thread] = values[threads - 1 - thread];
  if (thread == 0) {
    float total = 0.f;
    for (int w = 0; w < threads / kWarpSize; ++w) total += partial[w];
    sum[blockIdx.x] = total;
  }
}

TEST(SimtLayer, ACorrectKernelPassesUnderEverySchedule) {
  constexpr int blocks = 5;
  std::vector<float> input(blocks * threads);
  for (std::size_t k = 0; k < input.size(); ++k) input[k] = static_cast<float>(k % 97);
  for (int schedule = 0; schedule < simt::num_schedules; ++schedule) {
    simt::set_schedule(static_cast<Schedule>(schedule));
    std::vector<float> reversed(input.size(), -1.f), sums(blocks, -1.f);
    run<reverse_and_sum>(dim3(blocks), threads,
                         shared_bytes<float>(threads) + shared_bytes<float>(threads / kWarpSize),
                         input.data(), reversed.data(), sums.data());
    for (int block = 0; block < blocks; ++block) {
      float sum = 0.f;
      for (int k = 0; k < threads; ++k) {
        const auto at = static_cast<std::size_t>(block * threads + k);
        sum += input[at];
        EXPECT_EQ(reversed[at], input[static_cast<std::size_t>(block * threads + threads - 1 - k)]);
      }
      EXPECT_EQ(sums[static_cast<std::size_t>(block)], sum);
    }
  }
  simt::rotate_schedules();
}

// --- data races ---------------------------------------------------------------------------------

template <bool with_barrier>
__global__ void neighbour(float* output) {
  SharedMemory memory;
  const Shared<float> values = memory.take<float>(threads);
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = static_cast<float>(thread);
  __syncthreads();
  const float left = values[(thread + threads - 1) % threads];
  if (with_barrier) __syncthreads();
  values[thread] = left;
  output[thread] = left;
}

TEST(SimtLayer, AMissingBarrierBetweenReadAndWriteIsARaceUnderEverySchedule) {
  std::vector<float> output(threads);
  const int bytes = shared_bytes<float>(threads);
  run<neighbour<true>>(dim3(1), threads, bytes, output.data());
  for (int schedule = 0; schedule < simt::num_schedules; ++schedule) {
    simt::set_schedule(static_cast<Schedule>(schedule));
    expect_error({"kernel test", "block (0, 0, 0)", "thread", "data race", "byte", "no barrier"},
                 [&] { run<neighbour<false>>(dim3(1), threads, bytes, output.data()); });
  }
  simt::rotate_schedules();
}

__global__ void same_element(float*) {
  SharedMemory memory;
  const Shared<float> values = memory.take<float>(1);
  if (threadIdx.x == 3 || threadIdx.x == 70) values[0] = 1.f;
}

TEST(SimtLayer, TwoWritersOfAByteAreNamed) {
  simt::set_schedule(Schedule::first_warp_first);
  expect_error({"thread 70", "data race: write of byte 0", "written by thread 3"}, [&] {
    run<same_element>(dim3(1), threads, shared_bytes<float>(1), static_cast<float*>(nullptr));
  });
  simt::rotate_schedules();
}

/// Lanes exchange by way of shared memory: a shuffle between write and read is no barrier.
template <int kind>
__global__ void exchange_in_warp(float* output) {
  SharedMemory memory;
  const Shared<float> values = memory.take<float>(threads);
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = static_cast<float>(thread);
  if (kind == 0) __syncwarp();
  if (kind == 1) warp_sum(1.f);
  output[thread] = values[thread ^ 1];
  if (kind == 2) output[thread] = values[thread ^ 32];
}

TEST(SimtLayer, ASyncwarpOrdersItsWarpAndAShuffleDoesNot) {
  std::vector<float> output(threads);
  const int bytes = shared_bytes<float>(threads);
  run<exchange_in_warp<0>>(dim3(1), threads, bytes, output.data());
  for (int k = 0; k < threads; ++k) EXPECT_EQ(output[static_cast<std::size_t>(k)], k ^ 1);
  expect_error({"data race"},
               [&] { run<exchange_in_warp<1>>(dim3(1), threads, bytes, output.data()); });
}

template <int threads_of_first>
__global__ void named_halves(float* output) {
  SharedMemory memory;
  const Shared<float> values = memory.take<float>(threads);
  const int thread = static_cast<int>(threadIdx.x);
  const int half = thread / (threads / 2);
  values[thread] = static_cast<float>(thread);
  ptx::named_barrier(1 + half, half == 0 ? threads_of_first : threads / 2);
  if (thread & 32) output[thread] = values[thread ^ 32];
}

TEST(SimtLayer, ANamedBarrierOrdersThoseWhoJoinIt) {
  std::vector<float> output(threads);
  const int bytes = shared_bytes<float>(threads);
  run<named_halves<threads / 2>>(dim3(1), threads, bytes, output.data());
  for (int k = 0; k < threads; ++k) {
    if (k & 32) {
      EXPECT_EQ(output[static_cast<std::size_t>(k)], k ^ 32);
    }
  }
  simt::set_schedule(Schedule::first_warp_first);  // what is read too early has been written
  expect_error({"data race"},
               [&] { run<named_halves<threads / 4>>(dim3(1), threads, bytes, output.data()); });
  simt::rotate_schedules();
}

// --- memory -------------------------------------------------------------------------------------

template <int kind>
__global__ void read_somewhere(float* output) {
  SharedMemory memory;
  const Shared<float> first = memory.take<float>(8);
  const Shared<float> second = memory.take<float>(8);
  if (threadIdx.x != 0) return;
  for (int k = 0; k < 8; ++k) second[k] = 1.f;
  if (kind == 0) output[0] = first[5];
  if (kind == 1) output[0] = first[8];
  if (kind == 2) output[0] = (second + 4)[-5];
  if (kind == 3) second[8] = 1.f;
  if (kind == 4) output[0] = second.as<float4>()[1].operator float4().w;
  if (kind == 5) output[0] = (second + 1).as<float4>()[0].operator float4().w;
}

TEST(SimtLayer, BytesNeverWrittenAndBytesOfAnotherArrayAreNotRead) {
  float output[1] = {};
  const int bytes = 2 * shared_bytes<float>(8);
  expect_error({"thread 0", "byte 20 of shared memory", "nobody has written"},
               [&] { run<read_somewhere<0>>(dim3(1), threads, bytes, output); });
  expect_error({"bytes 32 to 35 of an array of 32"},
               [&] { run<read_somewhere<1>>(dim3(1), threads, bytes, output); });
  expect_error({"bytes -4 to -1 of an array of 32 (at byte 32)"},
               [&] { run<read_somewhere<2>>(dim3(1), threads, bytes, output); });
  expect_error({"bytes 32 to 35 of an array of 32 (at byte 32)"},
               [&] { run<read_somewhere<3>>(dim3(1), threads, bytes, output); });
  run<read_somewhere<4>>(dim3(1), threads, bytes, output);
  EXPECT_EQ(output[0], 1.f);
  expect_error({"array at byte 36 taken for elements aligned to 16"},
               [&] { run<read_somewhere<5>>(dim3(1), threads, bytes, output); });
  expect_error({"32 bytes wanted at byte 32", "asked for 48"},
               [&] { run<read_somewhere<4>>(dim3(1), threads, 48, output); });
}

TEST(SimtLayer, WhatOneBlockWroteAnotherHasNotWritten) {
  float output[1] = {};
  run<read_somewhere<4>>(dim3(1), threads, 2 * shared_bytes<float>(8), output);
  for (int repeat = 0; repeat < 3; ++repeat) {
    expect_error({"nobody has written"}, [&] {
      run<read_somewhere<0>>(dim3(1), threads, 2 * shared_bytes<float>(8), output);
    });
  }
}

// --- asynchronous copies ------------------------------------------------------------------------

enum class Forgotten { nothing, wait, commit, barrier, stage };

template <Forgotten forgotten>
__global__ void staged_copy(const float* input, float* output) {
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(2 * threads);
  const int thread = static_cast<int>(threadIdx.x);
  const auto start = [&](int stage) {
    if (thread < threads / 4) {
      const bool valid = thread < threads / 4 - 1;
      ptx::copy_async_16((tile + stage * threads + 4 * thread).template as<unsigned char>(),
                         input + stage * threads + 4 * thread, valid);
    }
    if (forgotten != Forgotten::commit) ptx::copy_async_commit();
  };
  start(0);
  start(1);
  for (int stage = 0; stage < 2; ++stage) {
    if (forgotten == Forgotten::stage) {
      ptx::copy_async_wait<1>();
    } else if (forgotten != Forgotten::wait) {
      stage == 0 ? ptx::copy_async_wait<1>() : ptx::copy_async_wait<0>();
    }
    if (forgotten != Forgotten::barrier) __syncthreads();
    output[stage * threads + thread] = tile[stage * threads + threads - 1 - thread];
  }
}

TEST(SimtLayer, ACopyLandsAtTheWaitOfItsGroup) {
  alignas(16) float input[2 * threads];
  for (int k = 0; k < 2 * threads; ++k) input[k] = static_cast<float>(k + 1);
  float output[2 * threads] = {};
  const int bytes = shared_bytes<float>(2 * threads);
  run<staged_copy<Forgotten::nothing>>(dim3(1), threads, bytes, input, output);
  for (int stage = 0; stage < 2; ++stage) {
    for (int k = 0; k < threads; ++k) {
      const int from = stage * threads + threads - 1 - k;
      EXPECT_EQ(output[stage * threads + k], k < 4 ? 0.f : input[from]) << k;
    }
  }
  for (int repeat = 0; repeat < simt::num_schedules; ++repeat) {
    expect_error({"asynchronous copy by thread", "has not been waited for"}, [&] {
      run<staged_copy<Forgotten::wait>>(dim3(1), threads, bytes, input, output);
    });
    expect_error({"asynchronous copy by thread", "has not been waited for"}, [&] {
      run<staged_copy<Forgotten::commit>>(dim3(1), threads, bytes, input, output);
    });
    expect_error({"asynchronous copy by thread", "has not been waited for"}, [&] {
      run<staged_copy<Forgotten::stage>>(dim3(1), threads, bytes, input, output);
    });
    // Read before it is waited for, or after but without a barrier, as the schedule has it.
    expect_error({"of shared memory"}, [&] {
      run<staged_copy<Forgotten::barrier>>(dim3(1), threads, bytes, input, output);
    });
  }
  expect_error({"copy_async_16: source not 16-byte aligned"}, [&] {
    run<staged_copy<Forgotten::nothing>>(dim3(1), threads, bytes, input + 1, output);
  });
}

// --- waiting ------------------------------------------------------------------------------------

template <int kind>
__global__ void diverge() {
  const int thread = static_cast<int>(threadIdx.x);
  if (kind == 0) {  // half a block
    if (thread < 64) __syncthreads();
  }
  if (kind == 1) {  // half a warp
    if (thread % 32 < 16) __syncwarp();
  }
  if (kind == 2) {  // two operations in a warp
    if (thread % 32 < 16) {
      __syncwarp();
    } else {
      warp_sum(1.f);
    }
  }
  if (kind == 3) {  // two barriers in a warp
    if (thread % 32 < 16) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  }
  if (kind == 4) {  // one barrier too few of a named one
    ptx::named_barrier(2, thread < 64 ? 96 : 64);
  }
  if (kind == 5) {  // nobody else will come
    if (thread < 64) ptx::named_barrier(3, 96);
  }
  if (kind == 6) __shfl_sync(0xffffu, 1.f, 0);
}

TEST(SimtLayer, WhoWaitsForEverIsReported) {
  const auto found = [](auto run_kernel, const std::vector<std::string>& words) {
    for (int repeat = 0; repeat < simt::num_schedules; ++repeat) expect_error(words, run_kernel);
  };
  found([] { run<diverge<0>>(dim3(1), threads, 0); },
        {"kernel test, block (0, 0, 0)", "deadlock",
         "threads 0 to 63 wait at __syncthreads at layer_test.cpp:",
         "threads 64 to 127 have returned"});
  found([] { run<diverge<1>>(dim3(1), threads, 0); },
        {"deadlock", "threads 0 to 15 wait at __syncwarp", "threads 16 to 31 have returned"});
  found([] { run<diverge<2>>(dim3(1), threads, 0); },
        {"divergent warp", "__syncwarp", "__shfl_xor_sync"});
  found([] { run<diverge<3>>(dim3(1), threads, 0); }, {"divergent warp", "__syncthreads"});
  found([] { run<diverge<4>>(dim3(1), threads, 0); }, {"named_barrier 2", "96", "64"});
  found([] { run<diverge<5>>(dim3(1), threads, 0); },
        {"deadlock", "threads 0 to 63 wait at named_barrier 3 of 96", "64 to 127 have returned"});
  found([] { run<diverge<6>>(dim3(1), threads, 0); }, {"__shfl_sync: lane mask 65535"});
}

// --- errors -------------------------------------------------------------------------------------

struct Counted {
  int* count;
  explicit Counted(int* of) : count(of) { ++*count; }
  Counted(const Counted&) = delete;
  ~Counted() { --*count; }
};

__global__ void fail_in_one_thread(int* alive) {
  const Counted counted(alive);
  __syncwarp();
  if (threadIdx.x == 77) throw Error("thrown");
  __syncthreads();
}

TEST(SimtLayer, AnErrorUnwindsEveryThreadAndNamesItsOwn) {
  int alive = 0;
  for (int repeat = 0; repeat < simt::num_schedules; ++repeat) {
    expect_error({"kernel test, block (0, 0, 0)", "thread 77", "after __syncwarp", "thrown"},
                 [&] { run<fail_in_one_thread>(dim3(1), threads, 0, &alive); });
    EXPECT_EQ(alive, 0);
  }
  expect_error({"kernel test", "48 threads", "multiple of 32"},
               [] { run<diverge<7>>(dim3(1), 48, 0); });
  expect_error({"kernel test", "200000 bytes of shared memory"},
               [] { run<diverge<7>>(dim3(1), 32, 200000); });
}

__global__ void count_up(float* sum) {
  if (threadIdx.x == 0) atomicAdd(sum, 1.f);
}

TEST(SimtLayer, BlocksAddAtomicallyAndACaptureRunsWhenReplayed) {
  float sum = 0.f;
  run<count_up>(dim3(50, 3, 2), 32, 0, &sum);
  EXPECT_EQ(sum, 300.f);
  Queue queue;
  SimtStream stream;
  queue.stream = &stream;
  stream.capturing = true;
  launch<count_up>("test", queue, {dim3(4), 32, 0}, &sum);
  launch<count_up>("test", queue, {dim3(0), 32, 0}, &sum);
  EXPECT_EQ(sum, 300.f);
  ASSERT_EQ(stream.captured.size(), 1u);
  stream.captured.front()();
  stream.captured.front()();
  EXPECT_EQ(sum, 308.f);
  stream.capturing = false;
  launch<count_up>("test", queue, {dim3(1), 32, 0}, &sum);
  EXPECT_EQ(sum, 309.f);
}

}  // namespace
}  // namespace vitsnna::kernels::cuda
