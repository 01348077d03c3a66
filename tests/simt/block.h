// One block on one OS thread: its threads as fibers, the places where they wait for each other, and
// the errors that they meet.
#pragma once

#include <bit>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "tests/simt/fiber.h"
#include "tests/simt/schedule.h"
#include "tests/simt/shadow.h"

namespace vitsnna::simt {

/// Where a kernel's source calls a function that has `Location where = Location::current()`.
/// (std::source_location is not in every supported compiler.)
struct Location {
  const char* file = "";
  int line = 0;
  static constexpr Location current(const char* file = __builtin_FILE(),
                                    int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// What threads of a warp or of a block wait for each other at.
enum class Operation : std::uint8_t {
  none,
  block_barrier,
  named_barrier,
  warp_sync,
  shuffle,
  shuffle_xor,
  shuffle_down,
  load_matrix,
  load_matrix_transposed,
  multiply,
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

/// A launch as its blocks see it.
struct Launch {
  const char* name = "";
  Extent blocks;
  int threads = 0;
  int shared_bytes = 0;
  void (*body)(const void*) = nullptr;  ///< what each thread does
  const void* arguments = nullptr;
};

class Block {
 public:
  Block() = default;
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Runs one block from its first thread's start to its last thread's end; throws Error.
  void run(const Launch& launch, Extent index, LaunchOrder order);

  // The rest is for the running thread.

  /// Waits for all lanes of the warp at the same operation; the last to arrive then performs it for
  /// all, from every lane's operands.
  using Perform = void (*)(Block&, void* const* operands);
  void warp_operation(Operation operation, void* operands, Perform perform, Location where);
  /// Waits for all threads of the block; the bits of all their values, joined by or.
  int block_barrier(int value, Location where);
  void named_barrier(int id, int threads, Location where);

  template <int count>
  void read_shared(int offset, void* to) {
    shadow_.read<count>(accessor(), offset, to);
  }
  template <int count>
  void write_shared(int offset, const void* from) {
    shadow_.write<count>(accessor(), offset, from);
  }
  /// The same for lane `lane` of the running warp, in an operation that its lanes do together.
  template <int count>
  void read_shared_as(int lane, int offset, void* to) {
    Accessor who = accessor();
    who.thread = who.thread / 32 * 32 + static_cast<unsigned>(lane);
    shadow_.read<count>(who, offset, to);
  }
  int shared_bytes() const { return shadow_.size(); }

  void copy_async(int offset, const void* source);
  void copy_async_commit();
  void copy_async_wait(int pending);

 private:
  enum class State : std::uint8_t { fresh, ready, waiting, ended };

  struct Copy {
    int offset;
    const void* source;
  };
  struct Thread {
    State state = State::fresh;
    Operation operation = Operation::none;  ///< waits at this, or has synchronised there last
    int barrier = 0;
    Location where;
    std::vector<Copy> open_copies;
    std::deque<std::vector<Copy>> copy_groups;
  };
  struct Warp {
    std::uint32_t ready = 0;  ///< lanes that can run
    std::uint32_t arrived = 0;
    Operation operation = Operation::none;
    Location where;
    void* operands[32] = {};
    std::uint32_t at_barrier = 0;  ///< lanes that wait at the block's barrier
    Location barrier_where;
    WarpClock clock;
  };
  struct NamedBarrier {
    int wanted = 0;
    std::uint32_t lanes[kMaxWarps] = {};  ///< that have arrived; a warp counts when all have
    std::uint32_t warps = 0;              ///< of which any lane has
    int warps_complete = 0;
  };
  struct FiberArgument {
    Block* block;
    int thread;
  };
  struct Unwind {};

  static void fiber_entry(void* argument);
  void thread_main(int thread);
  void grow(int threads);
  void begin(const Launch& launch, Extent index, LaunchOrder order);
  int pick();
  void unwind();
  void suspend();
  void make_ready(int thread);
  Accessor accessor() const {
    return {static_cast<std::uint32_t>(running_),
            &warps_[static_cast<std::size_t>(running_ / 32)].clock};
  }
  Thread& self() { return threads_[static_cast<std::size_t>(running_)]; }
  Warp& warp() { return warps_[static_cast<std::size_t>(running_ / 32)]; }
  void advance(std::uint32_t warps);
  std::string title() const;
  std::string deadlock() const;

  Launch launch_;
  Extent index_;
  LaunchOrder order_;
  std::uint32_t generator_ = 0;
  int last_warp_ = 0;
  int running_ = 0;
  int ended_ = 0;
  bool unwinding_ = false;
  std::exception_ptr error_;
  Shadow shadow_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::uint32_t ready_warps_ = 0;
  int at_barrier_ = 0;
  int barrier_value_ = 0, barrier_result_ = 0;
  NamedBarrier named_[16];
  std::deque<FiberArgument> fiber_arguments_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
};

/// The block that this OS thread is running; null outside of a kernel.
extern constinit thread_local Block* running_block;
inline Block& this_block() { return *running_block; }

/// Runs all blocks of a launch, several at a time; throws the first block's error.
void run_launch(const Launch& launch);

}  // namespace vitsnna::simt
